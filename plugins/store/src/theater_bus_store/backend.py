"""What keeps stores: a directory, or NATS. Both keep the same promises.

Invariants: content that a reference names was verified when it was read, or `Damaged` is raised; nothing is ever seen
half-written; a store's usage is never above its bounds; content that a label refers to, or that was stored or labelled
within the grace time, is not collected, whoever stores and labels meanwhile.
Ids, labels and references have passed `name` before they come here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from typing import Protocol

from theater_bus import TheaterError

__all__ = [
    "Backend",
    "Bounds",
    "Busy",
    "Collected",
    "Damaged",
    "Full",
    "NoSuchStore",
    "StoreTrouble",
    "TooLong",
    "Usage",
]


class StoreTrouble(TheaterError):
    """Something that the caller is told about: its text is for the guest, and for the operator."""


class NoSuchStore(StoreTrouble):
    """There is no store of this id."""

    def __init__(self, store: str) -> None:
        super().__init__(
            f"there is no store {store!r}. Fix: make one with `new`; `theater-bus store list` shows which there are"
        )


class Full(StoreTrouble):
    """A bound of the store would be passed."""

    def __init__(self, setting: str, bound: int, needed: int) -> None:
        room = "remove a store" if setting == "stores" else "remove labels and collect garbage"
        super().__init__(
            f"the grant store.{setting} = {bound} is used up: this needs {needed}. Fix: {room}, or write "
            f"`{setting} = {needed}` under [capabilities.store]; parent and host must allow as much"
        )


class Damaged(StoreTrouble):
    """What is kept under a reference is not its content."""

    def __init__(self, store: str, reference: str) -> None:
        super().__init__(f"the content {reference} of store {store!r} is damaged. Fix: store it again")


class TooLong(StoreTrouble):
    """Content is longer than the reader may have it."""

    def __init__(self, reference: str, size_bytes: int, most: int) -> None:
        super().__init__(
            f"the content {reference} has {size_bytes} bytes, more than the grant store.content_bytes = {most}. Fix: "
            f"write `content_bytes = {size_bytes}` under [capabilities.store]; parent and host must allow as much"
        )


class Busy(StoreTrouble):
    """Others wrote to the store for too long."""

    def __init__(self, store: str) -> None:
        super().__init__(f"the store {store!r} is busy: others write to it. Fix: try again later")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one store may hold."""

    contents: int
    total_bytes: int
    labels: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds."""

    contents: int = 0
    total_bytes: int = 0
    labels: int = 0

    def plus(self, change: Usage) -> Usage:
        """What it holds after this change; never less than nothing."""
        return Usage(*(max(0, held + more) for held, more in zip(astuple(self), astuple(change), strict=True)))

    def encoded(self) -> bytes:
        """As it is kept, in JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, data: bytes) -> Usage:
        """What `encoded` wrote."""
        return cls(**json.loads(data))

    def require(self, bounds: Bounds) -> None:
        """Raise `Full` where this is more than the bounds allow."""
        for setting in ("contents", "total_bytes", "labels"):
            held, bound = getattr(self, setting), getattr(bounds, setting)
            if held > bound:
                raise Full(setting, bound, held)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed, or would remove."""

    contents: int
    size_bytes: int


class Backend(Protocol):
    """Keeps the stores of one namespace. Methods raise `StoreTrouble` for what callers are told about."""

    async def create(self, store: str, owner: str, most: int) -> None:
        """Make a store, unless it is there. Raises `Full` (`stores`) where the owner has `most` already."""

    async def owner(self, store: str) -> str | None:
        """The actor that a store belongs to; None for no store."""

    async def stores(self, owner: str | None = None) -> list[str]:
        """The ids of the stores of an owner, or of all, sorted."""

    async def remove(self, store: str) -> None:
        """Remove a store with all that is in it. Nothing happens where there is none."""

    async def put(self, store: str, content: bytes, bounds: Bounds) -> str:
        """Keep content, and answer with its reference."""

    async def get(self, store: str, reference: str, most: int) -> bytes | None:
        """The verified content, or None. Raises `TooLong` beyond `most` bytes, before it is read."""

    async def exists(self, store: str, reference: str) -> bool:
        """Whether there is content of this reference."""

    async def label(self, store: str, label: str, reference: str, bounds: Bounds) -> bool:
        """Let a label refer to content. False where there is no such content."""

    async def labelled(self, store: str, label: str) -> str | None:
        """What a label refers to, or None."""

    async def unlabel(self, store: str, label: str) -> None:
        """Forget a label. Nothing happens where there is none."""

    async def labels(self, store: str) -> list[str]:
        """All labels, sorted."""

    async def contents(self, store: str) -> list[str]:
        """The references of all content, sorted."""

    async def usage(self, store: str) -> Usage:
        """What the store holds."""

    async def collect(self, store: str, grace_s: float, *, dry_run: bool = False) -> Collected:
        """Remove content that no label refers to and that is older than the grace time; with `dry_run` only count."""
