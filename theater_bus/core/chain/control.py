"""What happened to an actor beside its operations: the bodies of `control` events.

A control event's array is `[kind, …]`: the word, then the positions of the class below that carries it.
Source: the chain page, "Events".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from theater_bus.core.chain.layout import DIGEST, TEXT, UINT, Record, optional, record

__all__ = [
    "KINDS",
    "Archived",
    "Control",
    "FreshInstance",
    "HiddenState",
    "Moved",
    "Paused",
    "Recovered",
    "Restarted",
    "Resumed",
    "Undelivered",
    "Updated",
    "Version",
]


class Control(Record):
    """A control event's body; `KIND` is the first position of its array."""

    __slots__ = ()
    TYPE: ClassVar[str] = "control"
    KIND: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Paused(Control):
    """Operations wait from here on."""

    KIND: ClassVar[str] = "paused"
    reason: Annotated[str | None, optional(TEXT), "why, when nobody asked for it: the code of the failure"]


@dataclass(frozen=True, slots=True)
class Resumed(Control):
    """Operations run again."""

    KIND: ClassVar[str] = "resumed"


@dataclass(frozen=True, slots=True)
class Version(Record):
    """What an actor ran, before and after a live update."""

    package: Annotated[bytes, DIGEST, "SHA-256 of the module"]
    manifest: Annotated[bytes, DIGEST, "SHA-256 of the manifest"]
    grants: Annotated[bytes, DIGEST, "SHA-256 of the effective grants"]
    abi: Annotated[str, TEXT, "how the package is called, with the version: `pack/2` or `component/0.2`"]


@dataclass(frozen=True, slots=True)
class Updated(Control):
    """A live update took effect."""

    KIND: ClassVar[str] = "updated"
    old: Annotated[Version, record(Version), "what ran before"]
    new: Annotated[Version, record(Version), "what runs from here on"]


@dataclass(frozen=True, slots=True)
class Restarted(Control):
    """A failure was answered with a restart from the state before it."""

    KIND: ClassVar[str] = "restarted"
    attempt: Annotated[int, UINT, "which restart within the intensity window, from 1"]
    reason: Annotated[str | None, optional(TEXT), "the code of the failure"]


@dataclass(frozen=True, slots=True)
class FreshInstance(Control):
    """The guest's memory was discarded; the state went on."""

    KIND: ClassVar[str] = "fresh-instance"
    reason: Annotated[str | None, optional(TEXT), "why: the code of the error before it"]


@dataclass(frozen=True, slots=True)
class HiddenState(Control):
    """An operation was repeated in a fresh instance, on its recorded answers, and was another one there."""

    KIND: ClassVar[str] = "hidden-state"
    seq: Annotated[int, UINT, "the first event of the operation"]
    difference: Annotated[str, TEXT, "what was different: `different-end`, or a host call as in a replay"]


@dataclass(frozen=True, slots=True)
class Recovered(Control):
    """A host took the actor over, or came back after a crash."""

    KIND: ClassVar[str] = "recovered"
    epoch: Annotated[int, UINT, "the owner's epoch from here on"]
    host: Annotated[str | None, optional(TEXT), "id of the host"]


@dataclass(frozen=True, slots=True)
class Moved(Control):
    """The actor was handed over; the next event is the new owner's `recovered`."""

    KIND: ClassVar[str] = "moved"
    host: Annotated[str | None, optional(TEXT), "id of the host it went to"]


@dataclass(frozen=True, slots=True)
class Archived(Control):
    """Events up to here were copied elsewhere and may be gone from the live chain."""

    KIND: ClassVar[str] = "archived"
    seq: Annotated[int, UINT, "the last event of the copy"]
    hash: Annotated[bytes, DIGEST, "its hash"]


@dataclass(frozen=True, slots=True)
class Undelivered(Control):
    """A queued send was given up."""

    KIND: ClassVar[str] = "undelivered"
    number: Annotated[int, UINT, "its outbox number"]
    target: Annotated[str, TEXT, "where it was bound"]
    code: Annotated[str, TEXT, "the error code it ended with"]


KINDS: dict[str, type[Control]] = {
    cls.KIND: cls
    for cls in (
        Paused,
        Resumed,
        Updated,
        Restarted,
        FreshInstance,
        HiddenState,
        Recovered,
        Moved,
        Archived,
        Undelivered,
    )
}
