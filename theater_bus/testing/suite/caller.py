"""Actors that use the capability under watch, and the calls that they make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from theater_bus.capability import CapabilityError
from theater_bus.client.actor import ActorHandle
from theater_bus.core.chain.bodies import HostCall
from theater_bus.core.chain.events import decode_event
from theater_bus.core.chain.segments import Segment
from theater_bus.errors import (
    ActorNotFound,
    ChannelClosed,
    ConfigurationError,
    GuestError,
    HandlerError,
    ShuttingDown,
)
from theater_bus.plugins import CapabilityType, HostFunction
from theater_bus.telemetry import Telemetry
from theater_bus.testing.relay import relay_guest
from theater_bus.testing.running import Relay, RunningHost
from theater_bus.testing.suite.case import Case, Example
from theater_bus.testing.suite.samples import in_wit
from theater_bus.testing.suite.watched import Watch

__all__ = ["CALL_S", "GONE", "Caller", "Events", "Failed"]

CALL_S: Final = 30.0
GONE: Final = (ActorNotFound, ShuttingDown, ChannelClosed)
"""What a call says when the actor has ended, as it may at the capability's own wish."""


class Events(Telemetry):
    """Telemetry that keeps events instead of logging them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[tuple[str, dict[str, object]]] = []

    def event(self, name: str, **fields: object) -> None:
        """Keep it."""
        self.seen.append((name, fields))


class Failed(Exception):
    """A capability did not answer; the text is what its function raised."""


class Caller:
    """Spawns actors whose guest relays to the capability, and calls them."""

    def __init__(self, case: Case, type_: CapabilityType, watch: Watch, host: RunningHost, events: Events) -> None:
        self.case, self.type, self.watch, self.host, self.events = case, type_, watch, host, events
        self._components: set[str] = set()

    async def spawn(self, settings: Mapping[str, Any], relay: Relay = relay_guest, **options: Any) -> ActorHandle:
        """An actor with these settings, kept in files so that its chain outlives it."""
        handlers = self.case.handlers
        capabilities = {**self.case.beside, self.type.name: dict(settings)}
        if handlers is not None:
            capabilities[handlers.name] = {}
        wasm = await asyncio.to_thread(relay, self.watch.cls, handlers=handlers)
        limits = {"timeout_ms": int(CALL_S * 1000)}
        options = {"chain": {"durability": "file"}, "limits": limits, **self.case.spawn, **options}
        actor = await self.host.spawn(wasm, capabilities=capabilities, **options)
        if relay is not relay_guest:
            self._components.add(actor.id)
        return actor

    def function(self, name: str) -> HostFunction:
        """The function of that name. Raises `ConfigurationError`."""
        found = next((function for function in self.type.functions.values() if function.name == name), None)
        if found is None:
            known = ", ".join(function.name for function in self.type.functions.values())
            raise ConfigurationError("example", f"there is no function {name!r}", f"one of: {known}")
        return found

    async def call(self, actor: ActorHandle, example: Example, **options: Any) -> Any:
        """The value that an example gets, or its err as a `CapabilityError`.

        Raises `Failed` for what the capability fails at, and otherwise what the call ends with.
        """
        function = self.function(example.function)
        seen = len(self.events.seen)
        args = list(example.args)
        if actor.id in self._components:
            args = in_wit(function.declaration, args)
        try:
            value = await actor.call_function(example.function, args, **options)
        except GuestError as error:
            return CapabilityError(error.details.get("value"))
        except HandlerError:
            raise Failed(self._cause(seen)) from None
        if function.fallible and function.declaration.params:
            [value] = value
            return CapabilityError(value["err"]) if "err" in value else value["ok"]
        return value

    async def begin(self, actor: ActorHandle, example: Example, **options: Any) -> asyncio.Task[Any]:
        """Make the call and wait until it is within the function, or over."""
        entered = self.watch.entry(self.function(example.function).method)
        entered.clear()
        call = asyncio.create_task(self.call(actor, example, **options))
        entering = asyncio.create_task(entered.wait())
        await asyncio.wait({call, entering}, timeout=CALL_S, return_when=asyncio.FIRST_COMPLETED)
        entering.cancel()
        return call

    async def host_calls(self, actor: ActorHandle) -> AsyncIterator[HostCall]:
        """The host calls in the actor's chain."""
        async for segment in self.host.segments(actor):
            for data in segment.events if isinstance(segment, Segment) else ():
                body = decode_event(data).body
                if isinstance(body, HostCall):
                    yield body

    def _cause(self, seen: int) -> str:
        causes = [fields.get("error") for name, fields in self.events.seen[seen:] if name == "capability.failed"]
        return str(causes[-1]) if causes else "a failure that the host does not name"
