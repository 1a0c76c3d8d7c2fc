"""Operation and host-call middleware, composed once when the host starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from theater_bus.capability import HostCall, HostCallMiddleware, OperationInfo, OperationMiddleware
from theater_bus.errors import ActorError
from theater_bus.host.failure import unexpected

if TYPE_CHECKING:
    from theater_bus.core.values.codec import Outcome
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation
    from theater_bus.host.package import FunctionEntry

__all__ = ["Middleware", "around_host_call"]


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
        if outcome is not None:
            self.future.set_result(outcome.value.standalone())
        else:
            self.future.set_exception(error if error is not None else RuntimeError("no outcome"))
            self.future.exception()


class Middleware:
    """All operation middleware of a host as one. An operation waits in the guest's place while it runs."""

    def __init__(self, items: Sequence[OperationMiddleware]) -> None:
        self._items = list(items)
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, actor: Actor, op: Operation, enter: Callable[[Operation], None]) -> None:
        """Run the middleware around `op`; `enter` puts it into the guest."""
        task = asyncio.get_running_loop().create_task(self._around(actor, op, enter), name="theater-bus middleware")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _around(self, actor: Actor, op: Operation, enter: Callable[[Operation], None]) -> None:
        identity = actor.identity
        info = OperationInfo(identity.namespace, identity.id, op.entry.name, op.caller, op.proof, op.params.standalone)
        entered = False

        async def proceed() -> bytes:
            nonlocal entered
            entered = True
            ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            op.answers.append(_Ended(ended))
            enter(op)
            return await ended

        chain: Callable[[], Awaitable[bytes]] = proceed
        for item in reversed(self._items):
            chain = _wrapped(item, info, chain)
        refusal: ActorError | None = None
        try:
            await chain()
        except ActorError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001  middleware is a plugin's: what it raises ends this operation only
            refusal = unexpected(identity.id, error)
        if not entered:
            actor.refused_by_middleware(
                op, refusal or unexpected(identity.id, RuntimeError("middleware never proceeded"))
            )

    async def close(self) -> None:
        """Wait for what still runs."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)


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
