"""Operation and host-call middleware, composed once when the host starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING

from theater_bus.capability import HostCall, HostCallMiddleware, OperationInfo, OperationMiddleware
from theater_bus.errors import ActorError, HandlerError, OperationTimeout
from theater_bus.host.reply import guest_error

if TYPE_CHECKING:
    from theater_bus.core.values.codec import Outcome
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation
    from theater_bus.host.package import FunctionEntry

__all__ = ["Middleware", "around_host_call"]

log = logging.getLogger("theater_bus.host")


class _Ended:
    """The `Answer` that tells middleware how its operation ended."""

    __slots__ = ("future", "subject")

    def __init__(self, future: asyncio.Future[bytes]) -> None:
        self.future = future
        self.subject = ""

    def prepare(self, entry: FunctionEntry, outcome: Outcome) -> None:
        pass

    def send(self, entry: FunctionEntry, outcome: Outcome | None, error: ActorError | None) -> None:
        if self.future.done():
            return
        if outcome is not None and outcome.ok:
            self.future.set_result(outcome.value.standalone())
            return
        if error is None and outcome is not None:
            error = guest_error(entry, outcome)
        self.future.set_exception(error if error is not None else RuntimeError("no outcome"))
        self.future.exception()


class _Passage:
    """One operation on its way through the middleware. Until it enters the guest it can be refused, or cut."""

    __slots__ = ("_actor", "_enter", "_op", "_over", "entered", "task")

    def __init__(self, actor: Actor, op: Operation, enter: Callable[[Operation], None]) -> None:
        self._actor = actor
        self._op = op
        self._enter = enter
        self._over = False
        self.entered = False
        self.task: asyncio.Task[None] | None = None

    async def proceed(self) -> bytes:
        """Run the guest and wait for its answer. Once only, and not after the operation was cut."""
        if self._over:
            raise RuntimeError("this operation has run, or is over")
        self._over = self.entered = True
        op = self._op
        if op.timer is not None:
            op.timer.cancel()
            op.timer = None
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        op.answers.append(_Ended(ended))
        self._enter(op)
        return await ended

    def refuse(self, error: ActorError) -> None:
        """End the operation before it entered the guest."""
        if not self._over:
            self._over = True
            error.ran = error.details["ran"] = "never"
            self._actor.refuse_started(self._op, error)


class Middleware:
    """All operation middleware of a host as one. An operation waits in the guest's place while it runs."""

    def __init__(self, items: Sequence[OperationMiddleware]) -> None:
        self._items = list(items)
        self._passages: dict[Operation, _Passage] = {}

    def run(self, actor: Actor, op: Operation, enter: Callable[[Operation], None]) -> None:
        """Run the middleware around `op`, within its deadline; `enter` puts it into the guest."""
        passage = self._passages[op] = _Passage(actor, op, enter)
        passage.task = actor.services.loop.create_task(self._around(actor, op, passage), name="theater-bus middleware")
        passage.task.add_done_callback(lambda _: self._passages.pop(op, None))
        if op.deadline is not inf:
            op.timer = actor.services.loop.call_at(op.deadline, self.cut, op, _too_late(op))

    def cut(self, op: Operation, end: ActorError) -> None:
        """End an operation that its middleware has not let in yet."""
        passage = self._passages.get(op)
        if passage is not None and not passage.entered and passage.task is not None:
            passage.task.cancel(end.code)
            passage.refuse(end)

    async def _around(self, actor: Actor, op: Operation, passage: _Passage) -> None:
        identity = actor.identity
        info = OperationInfo(identity.namespace, identity.id, op.entry.name, op.caller, op.proof, op.params.standalone)
        chain: Callable[[], Awaitable[bytes]] = passage.proceed
        for item in reversed(self._items):
            chain = _wrapped(item, info, chain)
        try:
            await chain()
        except ActorError as error:
            passage.refuse(error)
        except Exception as error:  # noqa: BLE001  middleware is a plugin's: what it raises ends this operation only
            passage.refuse(_failed(identity.id, op, error))
        else:
            passage.refuse(_failed(identity.id, op, RuntimeError("it answered without a call of proceed")))

    async def close(self) -> None:
        """End what still runs behind operations that are over."""
        tasks = [passage.task for passage in self._passages.values() if passage.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)


def _too_late(op: Operation) -> OperationTimeout:
    return OperationTimeout(f"{op.entry.name} waited in the host's middleware until its deadline", phase="queued")


def _failed(actor: str, op: Operation, error: Exception) -> HandlerError:
    correlation = token_hex(8)
    log.error("operation middleware failed: actor=%s correlation=%s", actor, correlation, exc_info=error)
    return HandlerError(
        f"a plugin's middleware failed around {op.entry.name}; the host's log has the cause under {correlation}",
        correlation=correlation,
    )


def _wrapped(
    item: OperationMiddleware, info: OperationInfo, proceed: Callable[[], Awaitable[bytes]]
) -> Callable[[], Awaitable[bytes]]:
    async def call() -> bytes:
        return await item.wrap(info, proceed)

    return call


def around_host_call(
    items: Sequence[HostCallMiddleware], call: HostCall, proceed: Callable[[], Awaitable[bytes]]
) -> Awaitable[bytes]:
    """One host call through all host-call middleware, the first item outermost."""
    for item in reversed(items):
        proceed = _wrapped_call(item, call, proceed)
    return proceed()


def _wrapped_call(
    item: HostCallMiddleware, call: HostCall, proceed: Callable[[], Awaitable[bytes]]
) -> Callable[[], Awaitable[bytes]]:
    async def run() -> bytes:
        return await item.wrap(call, proceed)

    return run
