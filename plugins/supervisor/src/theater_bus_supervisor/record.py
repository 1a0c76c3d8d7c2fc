"""What a supervisor knows of one child, and what of it survives the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from msgpack import UnpackException, packb, unpackb  # type: ignore[attr-defined]

from theater_bus.capability import NOT_GIVEN, ChildEnd, ChildSpec, RestartPolicy

__all__ = ["Child", "Kept", "read_snapshot", "write_snapshot"]


@dataclass(slots=True, eq=False)
class Child:
    """A child. `number` is its place in the order of birth, which restarts do not change.

    `manifest` and `package` are references to what its spec holds. It lives, or `is_renewed` (it is being restarted:
    its end is none, or `is_told` already), `is_unwanted` (nobody is told of its end), `is_stopped` (its parent stops
    it: no restart follows). `waiter` is for the end of a child that is waited for. Without a `spec`, others have
    spawned it, or what it was made from is `lost`.
    """

    id: str
    number: int
    spec: ChildSpec | None
    manifest: str
    package: str
    delays: RestartPolicy
    waiter: asyncio.Future[ChildEnd] | None = None
    unwatch: Callable[[], None] | None = None
    lost: Kept | None = None
    is_watched: bool = False
    is_renewed: bool = False
    is_told: bool = False
    is_unwanted: bool = False
    is_stopped: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the guest knows it as its child."""
        return self.waiter is None and not self.is_unwanted


@dataclass(frozen=True, slots=True)
class Kept:
    """A child as a snapshot holds it."""

    id: str
    number: int
    manifest: str
    package: str
    is_watched: bool
    resumed: bool
    state: Any = None
    has_state: bool = False
    cgrf: bytes | None = None

    def spec(self, manifest: str, package: bytes) -> ChildSpec:
        """What it is made from, with the contents of its references."""
        return ChildSpec(manifest, package, self.state if self.has_state else NOT_GIVEN, self.cgrf, self.resumed)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The children, and the ends that the guest has not been told yet."""

    children: list[Kept] = field(default_factory=list)
    untold: list[ChildEnd] = field(default_factory=list)


def write_snapshot(children: Iterable[Child], untold: Iterable[ChildEnd]) -> bytes | None:
    """Everything as msgpack; None where there is nothing."""
    found = [child.lost if child.spec is None else _kept(child, child.spec) for child in children if child.is_own]
    kept = [asdict(one) for one in found if one is not None]
    ends = [asdict(end) for end in untold]
    if not kept and not ends:
        return None
    packed: bytes = packb({"children": kept, "untold": ends})  # type: ignore[no-untyped-call]
    return packed


def read_snapshot(snapshot: bytes) -> Snapshot:
    """What `write_snapshot` wrote. Raises `ValueError` for anything else."""
    try:
        found = unpackb(snapshot)  # type: ignore[no-untyped-call]
        return Snapshot([Kept(**one) for one in found["children"]], [ChildEnd(**one) for one in found["untold"]])
    except (KeyError, TypeError, ValueError, UnpackException) as error:
        raise ValueError(f"this is no snapshot of a supervisor: {error!r}") from error


def _kept(child: Child, spec: ChildSpec) -> Kept:
    has_state = spec.state is not NOT_GIVEN
    return Kept(
        child.id,
        child.number,
        child.manifest,
        child.package,
        child.is_watched,
        spec.resumed,
        spec.state if has_state else None,
        has_state,
        spec.cgrf,
    )
