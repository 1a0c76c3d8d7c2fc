"""The children of one actor, as its capabilities reach them: the host's side of `theater_bus.capability.Children`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from theater_bus.capability import NOT_GIVEN, ChildEnd, ChildEvent, ChildSpec
from theater_bus.core.chain.batch import Batch
from theater_bus.core.chain.events import Event, decode_event
from theater_bus.core.lifecycle import StopReason
from theater_bus.core.manifest import parse_manifest
from theater_bus.core.wire.callpath import extend_path
from theater_bus.errors import ActorNotFound, ChainTampered, SpawnRefused
from theater_bus.host.household import Household, household_of
from theater_bus.host.spawning import NO_STATE, SpawnRequest
from theater_bus.host.stopping import end_within

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.archive import Archive
    from theater_bus.host.operation import Operation
    from theater_bus.host.package_source import PackageSource
    from theater_bus.host.watching import Watching

__all__ = ["ActorChildren"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
_EVENTS = 1024
"""How far back `events` looks, in events."""


class Surroundings(Protocol):
    """The parts of the host that children need."""

    archive: Archive
    packages: PackageSource
    watching: Watching

    async def spawn(self, request: SpawnRequest) -> Actor: ...


class ActorChildren:
    """The `Children` of one actor. `current` gives the operation whose host call asks, if one does."""

    __slots__ = ("_actor", "_current", "_host")

    def __init__(self, actor: Actor, host: Surroundings, current: Callable[[], Operation | None]) -> None:
        self._actor = actor
        self._host = host
        self._current = current

    def listen(self, ended: Callable[[ChildEnd], None], recovered: Callable[[], None]) -> None:
        """Hear of ends, and of recovered children."""
        household = self._household
        household.ended, household.recovered = ended, recovered

    def limit(self, *, descendants: int, stop_s: float) -> None:
        """Bound the actors below this one, and the time that its end waits for them."""
        household = self._household
        household.most, household.stop_s = descendants, stop_s

    async def keep(self, data: bytes) -> str:
        """Keep an object with the actor's chain; returns its reference."""
        return f"sha256:{(await self._host.archive.keep(self._actor, data)).hex()}"

    async def fetch(self, reference: str) -> bytes:
        """What a digest or a scheme names. Raises `SpawnRefused`."""
        if _DIGEST.fullmatch(reference):
            digest = bytes.fromhex(reference[7:])
            kept = await self._host.archive.kept(self._actor, digest)
            return kept if kept is not None else await self._host.packages.by_digest(digest)
        if _SCHEME.fullmatch(reference):
            return await self._host.packages.by_reference(reference)
        raise SpawnRefused(
            f"{reference[:120]!r} is neither a digest nor a reference with a scheme, and an actor may name no path. "
            "Fix: `sha256:…` of what the host has, or the bytes themselves",
            package=reference[:120],
        )

    async def spawn(self, spec: ChildSpec, again: str | None = None) -> str:
        """Start a child; returns its id."""
        op = self._current()
        path = () if op is None else extend_path(op.path, self._actor.identity.id)
        is_given = spec.state is not NOT_GIVEN or spec.cgrf is not None
        child = await self._host.spawn(
            SpawnRequest(
                parse_manifest(spec.manifest, "the child's manifest"),
                spec.package,
                again,
                NO_STATE if spec.state is NOT_GIVEN else spec.state,
                self._actor,
                begin="continue" if spec.resumed and not is_given else "fresh" if spec.resumed or again else "new",
                cgrf=spec.cgrf,
                init=not spec.resumed,
                path=path,
            )
        )
        return child.identity.id

    def end(self, child: str, *, at_once: bool = False) -> None:
        """Begin to stop a child."""
        self._actor.services.stop_actor(self._child(child), StopReason.TERMINATED if at_once else StopReason.SHUTDOWN)

    async def stop(self, child: str) -> None:
        """Stop a child and wait for that, within the bound."""
        found = self._child(child)
        self._actor.services.stop_actor(found, StopReason.SHUTDOWN)
        await end_within([found], self._household.stop_s)

    def ids(self) -> list[str]:
        """The living children, oldest first."""
        return list(self._household.children)

    def state(self, child: str) -> bytes | None:
        """The last acknowledged state of a child."""
        state = self._child(child).journal.settled.state
        return None if state is None else state.standalone()

    async def events(self, child: str, max_bytes: int) -> list[bytes]:
        """The last events of a child's chain."""
        found = self._child(child)
        store, end = self._host.archive.store_of(found), found.journal.settled.seq
        at = max(0, end - _EVENTS)
        kept: deque[bytes] = deque()
        size = 0
        while at < end:
            page = await store.read(child, at)
            for data in _events(page.segments):
                kept.append(data)
                size += len(data)
                while size > max_bytes:
                    size -= len(kept.popleft())
            if page.next_seq <= at:
                break
            at = page.next_seq
        return list(kept)

    def watch(self, child: str, listener: Callable[[Sequence[ChildEvent]], None]) -> Callable[[], None]:
        """Tell `listener` a child's events as they are acknowledged."""

        def tell(batch: Batch) -> None:
            for segment in batch.segments:
                found = _described(getattr(segment, "events", ()))
                if found:
                    listener(found)

        return self._host.watching.listen(self._child(child), tell)

    def give_up(self, why: str) -> None:
        """End this actor as `failed`."""
        actor = self._actor
        if actor.phases.is_ending:
            return
        actor.failure_note = why
        actor.services.stop_actor(actor, StopReason.FAILED)

    @property
    def _household(self) -> Household:
        return household_of(self._actor)

    def _child(self, child: str) -> Actor:
        found = self._household.children.get(child)
        if found is None:
            raise ActorNotFound(
                f"{child[:64]!r} is no child of {self._actor.identity.id}, or it has ended", actor=child[:64]
            )
        return found


def _events(segments: Sequence[Any]) -> list[bytes]:
    return [event for segment in segments for event in getattr(segment, "events", ())]


def _described(events: Sequence[bytes]) -> list[ChildEvent]:
    """The events of one segment without what they say."""
    try:
        decoded = [decode_event(data) for data in events]
    except ChainTampered:
        return []
    operation = _operation(decoded)
    return [ChildEvent(one.seq, one.hash, one.parent, one.type, one.time_ns, operation) for one in decoded]


def _operation(events: Sequence[Event]) -> str:
    """The function of a segment's operation; empty where it is none."""
    first = events[0] if events else None
    return str(getattr(first.body, "function", "")) if first is not None and first.type == "call" else ""
