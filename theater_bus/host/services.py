"""What an actor needs of the host around it, so that neither has to know the other whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from theater_bus.bus import Bus
    from theater_bus.capability import Children, TimeSource
    from theater_bus.core.lifecycle import StopReason
    from theater_bus.core.wire.reply import ReplyRule
    from theater_bus.engine import ComponentInstance, Instance, Turn
    from theater_bus.host.actor import Actor
    from theater_bus.host.archive import Archive
    from theater_bus.host.calling import ActorCalls
    from theater_bus.host.capability_bus import Reserved
    from theater_bus.host.configuration import HostConfiguration
    from theater_bus.host.hidden_state import HiddenStateChecks
    from theater_bus.host.operation import Operation
    from theater_bus.host.shared import Tally
    from theater_bus.telemetry import Telemetry

__all__ = ["Services"]


class Services(Protocol):
    """The host, as its actors see it. One for all of them."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that everything runs on."""

    @property
    def telemetry(self) -> Telemetry:
        """Where it reports."""

    @property
    def data_dir(self) -> Path | None:
        """Where the host keeps things, if it keeps any."""

    @property
    def clock(self) -> TimeSource:
        """The time that capabilities see."""

    @property
    def bus(self) -> Bus:
        """The connections to NATS."""

    @property
    def replies(self) -> ReplyRule:
        """To which subjects an answer may go."""

    @property
    def reserved(self) -> Reserved:
        """Which subjects no grant opens."""

    def capability_bucket(self, capability: str) -> str:
        """The bucket that a capability has in this namespace."""

    @property
    def turn(self) -> Turn:
        """How much may run before the event loop gets its turn."""

    @property
    def tally(self) -> Tally:
        """What the host has done, for service discovery."""

    @property
    def configuration(self) -> HostConfiguration:
        """What the operator has configured."""

    @property
    def hidden_state(self) -> HiddenStateChecks:
        """The repetitions that look for state in guests' memory."""

    def instantiate(self, actor: Actor) -> Instance | ComponentInstance:
        """A fresh instance of the actor's guest. Raises `Overloaded` at the host's cap."""

    def stop_actor(self, actor: Actor, reason: StopReason, *, grace_s: float | None = None) -> None:
        """Begin to stop the actor; returns at once."""

    async def stopped(self, actor: Actor) -> None:
        """Wait until an actor that is stopping has stopped."""

    @property
    def archive(self) -> Archive:
        """Where the chains are kept."""

    def children_of(self, actor: Actor, current: Callable[[], Operation | None]) -> Children:
        """The children of an actor; `current` gives the operation whose host call asks, if one does."""

    @property
    def calls(self) -> ActorCalls:
        """Calls that actors make, to themselves and to others."""
