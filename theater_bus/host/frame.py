"""The host call in progress: what is known of it, and how code that runs within it finds it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from theater_bus.core.wire.digest import effect_key
from theater_bus.host.outbox import Delivery
from theater_bus.plugins import ForeignFunction, HostFunction

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation
    from theater_bus.telemetry import HostCallTrace

__all__ = ["ASKED", "FRAME", "Asked", "Frame", "Imported", "effect_key_of"]

Imported = HostFunction | ForeignFunction


class Frame:
    """One host call in progress."""

    __slots__ = ("delivery", "function", "index", "input", "is_log", "op", "open", "started", "trace")

    def __init__(
        self,
        op: Operation,
        index: int,
        function: Imported,
        data: bytes,
        started: int,
        is_log: bool,
    ) -> None:
        self.op = op
        self.started = started
        self.is_log = is_log
        self.index = index
        self.function = function
        self.input = data
        self.trace: HostCallTrace | None = None
        self.delivery: Delivery | None = None
        self.open = True


class Asked:
    """A queued function that is asked outside of an operation what it sends."""

    __slots__ = ("actor", "delivery")

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.delivery: Delivery | None = None


FRAME: ContextVar[Frame | None] = ContextVar("theater_bus_host_call", default=None)
ASKED: ContextVar[Asked | None] = ContextVar("theater_bus_asked", default=None)


def effect_key_of(actor: Actor, frame: Frame) -> str:
    """The key by which the outside can deduplicate the call."""
    op, function = frame.op, frame.function
    identity = op.identity if op.key is None else op.key
    return effect_key(
        actor.identity.id,
        actor.journal.writer.incarnation,
        identity,  # type: ignore[arg-type]  # without a key it is the 16 bytes made at admission
        frame.index,
        function.interface,
        function.name,
        frame.input,
    )
