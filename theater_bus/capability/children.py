"""Supervision: the actors that an actor spawns, as its capabilities see them.

Children belong to their actor: nobody's else can be named here, they get no more than it has, and they end before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

__all__ = ["NOT_GIVEN", "ChildEnd", "ChildEvent", "ChildSpec", "Children"]

NOT_GIVEN: Final[Any] = object()
"""The initial state that nobody gives: the manifest's counts."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What a child is made from, and made from again.

    `manifest` is TOML text, `package` the module. The initial state is `state`, a plain value, or `cgrf`, the bytes of
    one; without both it is the manifest's. A child that is `resumed` goes on from it without `init`; without a state,
    from the last one of its chain.
    """

    manifest: str
    package: bytes
    state: Any = NOT_GIVEN
    cgrf: bytes | None = None
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended: `exited` (with its result), `shutdown`, `failed` (with code and text) or `terminated`."""

    child: str
    reason: str
    result: bytes | None = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """An event of a child's chain, without what it says. `operation` is the function that it belongs to, if any."""

    seq: int
    hash: bytes
    parent: bytes
    type: str
    time_ns: int
    operation: str = ""


class Children(Protocol):
    """The children of one actor. A name that is none of them raises `ActorNotFound`."""

    def listen(self, ended: Callable[[ChildEnd], None], recovered: Callable[[], None]) -> None:
        """Have `ended` called once for each child that ends, whoever ended it, and `recovered` when the children of a
        recovered actor are back. One listener per actor.
        """

    def limit(self, *, descendants: int, stop_s: float) -> None:
        """Bound how many actors there may be below this one, of all generations, and how long its end waits for its
        children before they are terminated.
        """

    async def keep(self, data: bytes) -> str:
        """Keep a package or a manifest as long as the actor's chain; returns the reference that `fetch` takes.

        After a recovery it finds only what a durable actor kept.
        """

    async def fetch(self, reference: str) -> bytes:
        """What `sha256:…` or `scheme://…` names: a package, or any other object. Raises `SpawnRefused`."""

    async def spawn(self, spec: ChildSpec, again: str | None = None) -> str:
        """Start a child and return its id when it answers; `again` is the id of an ended one that begins anew.

        Its grants are those of host, this actor and its manifest together. Raises `SpawnRefused`, `ActorExists`,
        `Overloaded` at a bound, `ShuttingDown` when this actor ends, or what `init` ended with.
        """

    def end(self, child: str, *, at_once: bool = False) -> None:
        """Begin to stop a child; returns at once. `at_once` cuts what it does."""

    async def stop(self, child: str) -> None:
        """Stop a child and wait until it has stopped; it is terminated when it takes longer than `stop_s`."""

    def ids(self) -> list[str]:
        """The children that live, in the order of their birth."""

    def state(self, child: str) -> bytes | None:
        """The child's last acknowledged state as CGRF, whatever it does just now; None where it has none."""

    async def events(self, child: str, max_bytes: int) -> list[bytes]:
        """The last events of the child's chain within so many bytes, oldest first: the bytes that were hashed."""

    def watch(self, child: str, listener: Callable[[Sequence[ChildEvent]], None]) -> Callable[[], None]:
        """Tell `listener` the child's events as they are acknowledged; what comes back ends that."""

    def give_up(self, why: str) -> None:
        """End this actor as `failed`, its children before it."""
