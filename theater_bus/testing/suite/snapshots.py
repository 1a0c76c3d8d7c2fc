"""A snapshot that is restored, and taken again, is the same.

First without a host, by a clock that stands still; a capability that needs NATS comes back with its host instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from theater_bus.capability import Capability
from theater_bus.errors import ActorError
from theater_bus.testing.clock import FakeClock
from theater_bus.testing.harness import NeedsHost, capability_harness
from theater_bus.testing.suite.caller import CALL_S, Caller, Failed
from theater_bus.testing.suite.case import Case, Example
from theater_bus.testing.suite.checks import until
from theater_bus.testing.suite.watched import Watch

__all__ = ["check_snapshots"]

StartHost = Callable[[], AbstractAsyncContextManager[Caller]]


async def check_snapshots(case: Case, watch: Watch, examples: Sequence[Example], start: StartHost) -> None:
    """Note what is wrong; `start` gives a caller on a host that comes back as it was."""
    try:
        try:
            if case.needs_host:
                raise NeedsHost
            taken, again = await _alone(case, watch, examples)
        except NeedsHost:
            taken, again = await _with_hosts(case, examples, start)
    except Exception as error:  # noqa: BLE001  whatever a restored capability stumbles over is the finding
        problem = f"{type(error).__name__}: {error}"
        watch.found("snapshot", "restore", problem, "let `restore` take what `snapshot` gives")
        return
    if taken is not None and not isinstance(taken, bytes):
        watch.found("snapshot", "snapshot", f"it gives {type(taken).__name__}", "give bytes, or None")
    elif again != taken:
        problem = f"after {taken!r:.200} it gives {again!r:.200}"
        watch.found("snapshot", "restore", problem, "let `restore` take over all that `snapshot` gives")


async def _alone(case: Case, watch: Watch, examples: Sequence[Example]) -> tuple[Any, Any]:
    clock = FakeClock()

    async def snapshot(examples: Sequence[Example], before: bytes | None) -> Any:
        options = {"clock": clock, "snapshot": before, **case.harness}
        async with capability_harness(watch.cls, dict(case.settings), **options) as harness:
            for example in examples:
                await _make(harness.call(example.function, *example.args), clock)
            return harness.instance.snapshot()

    taken = await snapshot(examples, None)
    return taken, await snapshot((), taken) if isinstance(taken, bytes) else taken


async def _make(call: Any, clock: FakeClock) -> None:
    """Make a call, with as much time as it wants to see pass."""
    task = asyncio.ensure_future(call)
    for _ in range(100):
        await clock.settle()
        if task.done():
            break
        await clock.advance(60)
    task.cancel()
    await asyncio.wait({task})
    error = None if task.cancelled() else task.exception()
    if isinstance(error, NeedsHost):
        raise error


async def _with_hosts(case: Case, examples: Sequence[Example], start: StartHost) -> tuple[Any, Any]:
    name = case.cls.name
    async with start() as caller:
        actor = await caller.spawn(case.settings, id="conformance")
        for example in examples:
            try:
                await caller.call(actor, example)
            except (ActorError, Failed):
                continue
        taken = caller.host.host.actors[actor.id].capabilities[name].snapshot()
    with _restoring(case.cls) as restored:
        async with start() as caller:
            await until(lambda: "conformance" in caller.host.host.actors, CALL_S)
    return restored[0] if restored else (taken, None if isinstance(taken, bytes) else taken)


@contextmanager
def _restoring(cls: type[Capability]) -> Iterator[list[tuple[bytes, Any]]]:
    """What instances are given to restore, and what they give when they have started.

    Before and after that the world goes on: what a capability watches may change its next snapshot.
    """
    seen: list[tuple[bytes, Any]] = []
    given: dict[Capability, bytes] = {}
    restore, start = cls.restore, cls.start
    own = {name: cls.__dict__[name] for name in ("restore", "start") if name in cls.__dict__}

    def restored(self: Capability, snapshot: bytes) -> None:
        given[self] = snapshot
        restore(self, snapshot)

    async def started(self: Capability) -> None:
        await start(self)
        if self in given:
            seen.append((given.pop(self), self.snapshot()))

    cls.restore, cls.start = restored, started  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        for name in ("restore", "start"):
            if name in own:
                setattr(cls, name, own[name])
            else:
                delattr(cls, name)
