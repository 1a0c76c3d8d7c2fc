"""The fixtures that theater_bus offers to the authors of plugins, and what an actor's chain says about host calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from types import SimpleNamespace

import pytest

from theater_bus.capability import HostCall, HostCallMiddleware, hookimpl
from theater_bus.client import ActorHandle
from theater_bus.core.chain import bodies
from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server

__all__ = ["eventually", "start_harness", "start_host", "theater_server"]


@pytest.fixture
def recorded() -> Callable[[ActorHandle], Awaitable[list[bodies.HostCall]]]:
    """`await recorded(actor)`: the host calls in the actor's chain, in order."""

    async def read(actor: ActorHandle) -> list[bodies.HostCall]:
        events = await actor.get_chain().all()
        return [event.body for event in events if isinstance(event.body, bodies.HostCall)]

    return read


@pytest.fixture
def replay() -> Callable[[Iterable[bodies.HostCall]], object]:
    """`replay(record)`: a plugin that answers every host call from a record, matched on input, and asks nobody."""

    def plugin(record: Iterable[bodies.HostCall]) -> object:
        waiting = deque(record)

        async def answer(context: HostCall, proceed: Callable[[], Awaitable[bytes]]) -> bytes:
            due = waiting.popleft()
            assert (due.interface, due.function, due.input) == (context.interface, context.function, context.input)
            assert isinstance(due.output, bytes)
            return due.output

        hook = hookimpl(lambda: HostCallMiddleware(0, answer))
        return SimpleNamespace(__name__="replay", theater_host_call_middleware=hook)

    return plugin
