"""Children without a host: what a capability under test spawns, and what a test has happen to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from theater_bus.capability import ChildEnd, ChildEvent, ChildSpec
from theater_bus.errors import ActorError, ActorNotFound, SpawnRefused

__all__ = ["HarnessChildren"]


class HarnessChildren:
    """The `Children` of a harness: `specs` are those that live, by id, `spawned` all (id, spec) there ever were.

    `refusals` are raised by the next spawns, one by one. `objects` is what `fetch` finds, by reference; `states` and
    `chains` what `state` and `events` give. `end_child` ends a child, `tell` gives its watchers events.
    """

    def __init__(self) -> None:
        self.specs: dict[str, ChildSpec] = {}
        self.spawned: list[tuple[str, ChildSpec]] = []
        self.refusals: list[ActorError] = []
        self.objects: dict[str, bytes] = {}
        self.states: dict[str, bytes] = {}
        self.chains: dict[str, list[bytes]] = {}
        self.bounds: tuple[int, float] | None = None
        self.given_up: list[str] = []
        self.recovered: Callable[[], None] = _nothing
        self._ended: Callable[[ChildEnd], None] | None = None
        self._watchers: dict[str, list[Callable[[Sequence[ChildEvent]], None]]] = {}

    def listen(self, ended: Callable[[ChildEnd], None], recovered: Callable[[], None]) -> None:
        """Keep the listeners: `recovered` is for the test to call."""
        self._ended, self.recovered = ended, recovered

    def limit(self, *, descendants: int, stop_s: float) -> None:
        """Keep the bounds."""
        self.bounds = (descendants, stop_s)

    async def keep(self, data: bytes) -> str:
        """Put it into `objects`."""
        reference = f"sha256:{sha256(data).hexdigest()}"
        self.objects[reference] = data
        return reference

    async def fetch(self, reference: str) -> bytes:
        """What `objects` has."""
        if reference not in self.objects:
            raise SpawnRefused(f"the harness knows no {reference!r}. Fix: put it into context.children.objects")
        return self.objects[reference]

    async def spawn(self, spec: ChildSpec, again: str | None = None) -> str:
        """Keep the spec under `child-1`, `child-2`, …, or raise what `refusals` holds."""
        if self.refusals:
            raise self.refusals.pop(0)
        child = again or f"child-{len(self.spawned) + 1}"
        self.specs[child] = spec
        self.spawned.append((child, spec))
        return child

    def end(self, child: str, *, at_once: bool = False) -> None:
        """End it, as by somebody else."""
        self._require(child)
        self.end_child(ChildEnd(child, "terminated" if at_once else "shutdown"))

    async def stop(self, child: str) -> None:
        """End it."""
        self.end(child)

    def end_child(self, end: ChildEnd) -> None:
        """A child ends so."""
        self._require(end.child)
        del self.specs[end.child]
        self._watchers.pop(end.child, None)
        if self._ended is not None:
            self._ended(end)

    def ids(self) -> list[str]:
        """The living children."""
        return list(self.specs)

    def state(self, child: str) -> bytes | None:
        """What `states` has."""
        self._require(child)
        return self.states.get(child)

    async def events(self, child: str, max_bytes: int) -> list[bytes]:
        """What `chains` has."""
        self._require(child)
        return self.chains.get(child, [])

    def watch(self, child: str, listener: Callable[[Sequence[ChildEvent]], None]) -> Callable[[], None]:
        """Keep the listener for `tell`."""
        self._require(child)
        watchers = self._watchers.setdefault(child, [])
        watchers.append(listener)
        return lambda: watchers.remove(listener)

    def tell(self, child: str, events: Sequence[ChildEvent]) -> None:
        """Give those who watch a child events of it."""
        for listener in tuple(self._watchers.get(child, ())):
            listener(events)

    def give_up(self, why: str) -> None:
        """Keep it in `given_up`."""
        self.given_up.append(why)

    def _require(self, child: str) -> None:
        if child not in self.specs:
            raise ActorNotFound(f"{child!r} is no child of the harness, or it has ended", actor=child)


def _nothing() -> None:
    """Nobody listens."""
