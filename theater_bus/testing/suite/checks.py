"""The checks of a running capability, one method each; what they find is noted with the watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from theater_bus.capability import CapabilityError
from theater_bus.client.actor import ActorHandle
from theater_bus.errors import (
    ActorError,
    Cancelled,
    ConfigurationError,
    OperationTimeout,
    PactSyntaxError,
    TypeMismatch,
)
from theater_bus.plugins import HostFunction
from theater_bus.testing.component_relay import relay_component
from theater_bus.testing.relay import relay_guest
from theater_bus.testing.running import Relay
from theater_bus.testing.suite.caller import CALL_S, GONE, Caller, Failed
from theater_bus.testing.suite.case import Example
from theater_bus.testing.suite.samples import hostile_calls
from theater_bus.testing.suite.watched import END_S, is_of

__all__ = ["Checks", "until"]

HOSTILE_S: Final = 1.0


class Checks:
    """All checks that need a host. `examples` cover every function."""

    def __init__(self, caller: Caller, examples: list[Example]) -> None:
        self.caller, self.examples = caller, examples
        self.case, self.watch = caller.case, caller.watch

    async def all(self) -> None:
        """Every check, each in spite of what the ones before it found."""
        checks: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("replay", self.examples_replay),
            ("replay", self.examples_replay_in_components),
            ("grants", self.refusals_explain),
            ("cancellation", self.waiting_is_cancelled),
            ("cancellation", self.first_waits_are_cancelled),
            ("deadline", self.deadline_ends_waiting),
            ("types", self.hostile_values_are_contained),
            ("end", self.nothing_is_left),
        ]
        for point, check in checks:
            try:
                await check()
            except (TypeMismatch, ConfigurationError) as error:
                self.watch.found(point, check.__name__, f"an example does not fit the pact: {error}", "correct it")
            except Exception as error:  # noqa: BLE001  what a check stumbles over is a finding, and the others go on
                self._failed(point, check.__name__, f"{type(error).__name__}: {error}")

    async def examples_replay(self, relay: Relay = relay_guest, who: str = "the examples") -> None:
        """Every example works, is recorded with its answer, and the record replays without the capability."""
        actors, recorded = [await self.caller.spawn(self.case.settings, relay)], set[str]()
        for example in self.examples:
            try:
                await self._ask(actors[-1], example, "types")
            except GONE:
                actors.append(await self.caller.spawn(self.case.settings, relay))
        for actor in actors:
            report = await self.caller.host.replay(actor)
            if not report.is_identical:
                self.watch.found("replay", who, f"{report}", "see which call is not in the record")
            calls = self.caller.host_calls(actor)
            recorded |= {body.function async for body in calls if body.outcome in ("returned", "queued")}
        for function in self.caller.type.functions.values():
            if function.name not in recorded and not _is_folded(function):
                problem = f"of {who} none was answered, so nothing of it can be replayed"
                self.watch.found("replay", function.method, problem, "give an example that works, and what it needs")

    async def examples_replay_in_components(self) -> None:
        """The same for a guest that is a component, which calls the capability by its WIT."""
        with contextlib.suppress(PactSyntaxError):  # there are types that WIT lacks
            await self.examples_replay(relay_component, "the examples in a component")

    async def refusals_explain(self) -> None:
        """What is refused says which grant is missing and what to write; what cannot say so answers differently."""
        name = self.caller.type.name
        fix = f"raise CapabilityError with `{name}.SETTING`, the value seen, and `Fix: …`"
        for example in self.case.refused:
            actor = await self.caller.spawn(example.settings or {})
            said = await self._ask(actor, example, "grants")
            if not self.caller.function(example.function).fallible:
                granted = await self._ask(await self.caller.spawn(self.case.settings), example, "grants")
                if said == granted:
                    self.watch.found("grants", repr(example), "it answers the same without the grant", "hold it back")
            elif not isinstance(said, CapabilityError):
                self.watch.found("grants", repr(example), "it is allowed without the grant", fix)
            elif f"{name}." not in str(said) or "Fix: " not in str(said):
                self.watch.found("grants", repr(example), f"the refusal names no grant or no fix: {said}", fix)

    async def waiting_is_cancelled(self) -> None:
        """A call that waits ends when its operation is cancelled, and the actor goes on."""
        if self.case.waiting is not None:
            actor = await self.caller.spawn(self.case.settings)
            call = await self.caller.begin(actor, self.case.waiting, key="conformance")
            await actor.cancel("conformance")
            await self._ends_with(call, Cancelled, "cancellation")
            # A client sends what has a key again until it hears; that may have come behind the end.
            await actor.cancel("conformance")
            await self._goes_on(actor, "cancellation")

    async def deadline_ends_waiting(self) -> None:
        """A call that waits ends at its operation's deadline, and the actor goes on."""
        if self.case.waiting is not None:
            actor = await self.caller.spawn(self.case.settings)
            call = await self.caller.begin(actor, self.case.waiting, timeout=0.5)
            await self._ends_with(call, OperationTimeout, "deadline")
            await self._goes_on(actor, "deadline")

    async def first_waits_are_cancelled(self) -> None:
        """Every function lets itself be cancelled where it first waits."""
        self.watch.cancels = True
        try:
            for example in self.examples:
                await self._try(await self.caller.spawn(self.case.settings), example)
        finally:
            self.watch.cancels = False

    async def hostile_values_are_contained(self) -> None:
        """Whatever an actor without further grants passes, it gets a value or an `err`."""
        actor = await self.caller.spawn({})
        for function in self.caller.type.functions.values():
            for args in hostile_calls(function.declaration):
                try:
                    await self._ask(actor, Example(function.name, *args), "types", timeout=HOSTILE_S)
                except GONE:
                    actor = await self.caller.spawn({})
                except (OperationTimeout, TypeMismatch):
                    continue

    async def nothing_is_left(self) -> None:
        """When the actor has ended, no task of the capability runs."""
        before = asyncio.all_tasks()
        actor = await self.caller.spawn(self.case.settings)
        for example in self.examples:
            await self._try(actor, example)
        with contextlib.suppress(ActorError):
            await actor.shutdown()

        def left() -> set[asyncio.Task[Any]]:
            running = asyncio.all_tasks() - before
            return {task for task in running if task in self.watch.made or is_of(self.case.cls, task)}

        await until(lambda: actor.id not in self.caller.host.host.actors, END_S)
        if not await until(lambda: not left(), END_S):
            names = ", ".join(sorted(getattr(task.get_coro(), "__qualname__", "?") for task in left()))
            self.watch.found("end", "stop", f"the actor has ended, and {names} goes on", "await your tasks in `stop`")

    # -- one call ------------------------------------------------------------------------------------------------------

    async def _ask(self, actor: ActorHandle, example: Example, point: str, **options: Any) -> Any:
        """What an example gets; a failure of the capability is a finding. Raises what else the call ends with."""
        try:
            return await self.caller.call(actor, example, **options)
        except Failed as failed:
            function = self.caller.function(example.function)
            # Without a result to put it into, a refusal can only be a failure.
            if function.fallible or not str(failed).startswith("CapabilityError"):
                self._failed(point, function.method, f"{example!r} ends in {failed}")
            return None

    async def _try(self, actor: ActorHandle, example: Example) -> None:
        with contextlib.suppress(ActorError, Failed):
            await self.caller.call(actor, example)

    def _failed(self, point: str, where: str, problem: str) -> None:
        if "BlockingError" in problem:
            self.watch.found("non-blocking", where, problem, "mark it `@blocking`, or wait without blocking")
        else:
            fix = "answer with a value of the declared type, or raise CapabilityError"
            self.watch.found(point, where, problem, fix)

    async def _ends_with(self, call: asyncio.Task[Any], expected: type[ActorError], point: str) -> None:
        await asyncio.wait({call}, timeout=CALL_S)
        error = None if not call.done() or call.cancelled() else call.exception()
        # One that watches the deadline itself may say so in time.
        is_err = point == "deadline" and call.done() and error is None and isinstance(call.result(), CapabilityError)
        if not isinstance(error, expected) and not is_err:
            ended = "goes on" if not call.done() else f"ended with {error!r}" if error is not None else "was answered"
            fix = "let CancelledError pass, or give an example that waits longer"
            self.watch.found(point, repr(self.case.waiting), f"the call {ended}", fix)
        call.cancel()

    async def _goes_on(self, actor: ActorHandle, point: str) -> None:
        await self._ask(actor, self.examples[0], point)
        if any(name == "capability.abandoned" for name, _ in self.caller.events.seen):
            problem = "the host had to abandon it: it did not end within a second of its cancellation"
            self.watch.found(point, repr(self.case.waiting), problem, "let CancelledError pass at once")
            self.caller.events.seen.clear()


async def until(holds: Callable[[], bool], most_s: float) -> bool:
    """Wait until `holds()`; whether it came to that."""
    try:
        async with asyncio.timeout(most_s):
            while not holds():  # noqa: ASYNC110  what is waited for has no event
                await asyncio.sleep(0.002)
    except TimeoutError:
        return False
    return True


def _is_folded(function: HostFunction) -> bool:
    """Whether calls of it are recorded in runs, without an answer: `log`."""
    return function.name == "log" and function.declaration.result is None
