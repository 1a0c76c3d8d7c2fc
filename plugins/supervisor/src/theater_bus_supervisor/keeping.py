"""The children of one actor as its capability keeps them: who they are, what of them survives, what their ends mean.

Invariants: the table holds who lives or is being restarted; a module is kept once, as long as a child is made of it;
what the guest was not told of an end is in the snapshot.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from theater_bus import ActorError
from theater_bus.capability import NOT_GIVEN, CapabilityError, ChildEnd, ChildSpec, Context, refusals
from theater_bus_supervisor.record import Child, Kept, Snapshot, read_snapshot, write_snapshot
from theater_bus_supervisor.restarting import Restarter
from theater_bus_supervisor.source import Source
from theater_bus_supervisor.strategy import TRIGGERS, delays
from theater_bus_supervisor.telling import Teller

if TYPE_CHECKING:
    from theater_bus_supervisor.supervisor import Supervisor

__all__ = ["Keeper"]


class Keeper:
    """The table of children."""

    def __init__(self, context: Context, settings: Supervisor.Settings) -> None:
        self._context = context
        self._settings = settings
        self._table: dict[str, Child] = {}
        self._packages: dict[str, bytes] = {}
        self._used: Counter[str] = Counter()
        self._born = 0
        self._restored: Snapshot | None = None
        self._source = Source(context, settings.schemes, settings.ids)
        self.teller = Teller(context)
        bounds = (settings.max_restarts, settings.window_s)
        self._restarter = Restarter(context, settings.strategy, bounds, self._order, self.begin_again)

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bound the actors below, hear of ends, and take over what was restored."""
        children = self._context.children
        children.limit(descendants=self._settings.descendants, stop_s=self._settings.stop_ms / 1000)
        children.listen(self._ended, self._recovered)
        if self._restored is None:
            return
        for kept in self._restored.children:
            try:
                manifest = (await children.fetch(kept.manifest)).decode()
                package = await children.fetch(kept.package)
            except (ActorError, UnicodeDecodeError) as error:
                self._context.report_failure(f"{kept.id} cannot be started again: {error}")
                self._restore(kept, None).lost = kept
            else:
                self._restore(kept, kept.spec(manifest, self._packages.get(kept.package, package)))
        for end in self._restored.untold:
            self.teller.end(end)

    async def stop(self) -> None:
        """End what is under way."""
        await self._restarter.close()
        self.teller.close()

    def snapshot(self) -> bytes | None:
        """The children, and the ends that were not told."""
        return write_snapshot(self._table.values(), self.teller.untold.values())

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._restored = read_snapshot(snapshot)

    # -- children ------------------------------------------------------------------------------------------------------

    async def spawn(
        self,
        manifest: str,
        package: bytes | None,
        *,
        state: Any = NOT_GIVEN,
        cgrf: bytes | None = None,
        resumed: bool = False,
    ) -> Child:
        """Start a child. It ends again, and nobody hears of that, where the operation fails."""
        text = await self._source.manifest(manifest)
        module = await self._source.package(text, package)
        children = self._context.children
        reference = await children.keep(module)
        module = self._packages.get(reference, module)
        self._check_room(reference, module)
        spec = ChildSpec(text, module, state, cgrf, resumed)
        manifest_reference = await children.keep(text.encode())
        with refusals():
            child_id = await children.spawn(spec)
        child = self._add(child_id, spec, manifest_reference, reference)
        self._context.on_operation_end(partial(self._spawned, child))
        self._context.snapshot_changed()
        return child

    async def begin_again(self, child: Child) -> None:
        """Start a child that has ended, under its id. Raises what the host refuses."""
        if child.is_unwanted or child.spec is None:
            self._remove(child)
            return
        await self._context.children.spawn(child.spec, child.id)
        self._began_again(child)

    def _began_again(self, child: Child) -> None:
        child.is_renewed = child.is_stopped = child.is_told = False
        if child.is_unwanted:
            self._context.children.end(child.id, at_once=True)
        elif child.is_watched:
            self.watch(child)

    def find(self, child_id: str) -> Child | None:
        """A child by its id; None for one that others have spawned for this actor. Raises `CapabilityError`."""
        child = self._table.get(child_id)
        if child is not None and child.is_renewed and not child.is_unwanted:
            raise CapabilityError(f"{child_id} is being restarted. Fix: ask again when it runs")
        if child_id not in self._context.children.ids() or (child is not None and not child.is_own):
            raise CapabilityError(f"{child_id[:64]!r} is no child of this actor, or it has ended")
        return child

    def give_up(self, child_id: str) -> bool:
        """Restart a child no more that waits for its restart; False for one that does not."""
        child = self._table.get(child_id)
        if child is None or not child.is_renewed or not child.is_own or child_id in self._context.children.ids():
            return False
        child.is_unwanted = True
        if not child.is_told:
            self.teller.end(ChildEnd(child_id, "shutdown"))
        self._context.snapshot_changed()
        return True

    def meet(self, child_id: str) -> Child:
        """Take in a child that others have spawned: it can be watched, and not be started again."""
        return self._add(child_id, None, "", "")

    def is_own(self, child_id: str) -> bool:
        """Whether the guest knows this one as its child."""
        return child_id not in self._table or self._table[child_id].is_own

    def watch(self, child: Child) -> None:
        """Tell the guest what the child records."""
        child.is_watched = True
        child.unwatch = self._context.children.watch(child.id, partial(self.teller.events, child.id))

    def unwatch(self, child: Child) -> None:
        """Tell the guest no more."""
        child.is_watched = False
        self._silence(child)

    def watch_again(self, child: Child) -> None:
        """A subscription goes on, if the child does."""
        if child.id in self._context.children.ids():
            self.watch(child)

    def gone(self, child: Child, end: ChildEnd) -> None:
        """A child has ended for good: tell the guest."""
        self._remove(child)
        self.teller.end(end)
        self._context.snapshot_changed()

    # -- what becomes of them ------------------------------------------------------------------------------------------

    def _spawned(self, child: Child, took_effect: bool) -> None:
        if took_effect or self._table.get(child.id) is not child:
            return
        child.is_unwanted = True
        if child.id in self._context.children.ids():
            self._context.children.end(child.id, at_once=True)

    def _ended(self, end: ChildEnd) -> None:
        child = self._table.get(end.child)
        if child is None:
            self.teller.end(end)
            return
        self._silence(child)
        if child.waiter is not None:
            self._remove(child)
            if not child.waiter.done():
                child.waiter.set_result(end)
        elif child.is_unwanted:
            self._remove(child)
        elif not child.is_renewed:
            self._judge(child, end)

    def _judge(self, child: Child, end: ChildEnd) -> None:
        """A child has ended: tell the guest, and start it again if the strategy says so."""
        settings = self._settings
        answered = settings.strategy != "none" and end.reason in TRIGGERS[settings.restart]
        if not answered or child.is_stopped or child.spec is None:
            self.gone(child, end)
            return
        self.teller.end(end)
        child.is_told = True
        self._context.snapshot_changed()
        self._restarter.restart(child)

    def _recovered(self) -> None:
        """The children that came back with this actor are here; those that did not have ended."""
        living = set(self._context.children.ids())
        for child in list(self._table.values()):
            if child.id not in living:
                self._judge(child, ChildEnd(child.id, "failed", message="it did not come back with its host"))
            elif child.is_watched:
                self.watch(child)

    def _restore(self, kept: Kept, spec: ChildSpec | None) -> Child:
        child = self._add(kept.id, spec, kept.manifest, kept.package)
        child.number = kept.number
        child.is_watched = kept.is_watched
        self._born = max(self._born, kept.number)
        return child

    def _order(self) -> list[Child]:
        """The children that a strategy restarts together, in the order of their birth."""
        found = [child for child in self._table.values() if child.is_own and child.spec and not child.is_stopped]
        return sorted(found, key=lambda child: child.number)

    def _add(self, child_id: str, spec: ChildSpec | None, manifest: str, package: str) -> Child:
        before = self._table.get(child_id)
        if before is not None:  # it was given up, and its restart has not noticed yet
            self._remove(before)
        self._born += 1
        waits = delays(self._settings.window_s, self._settings.backoff_ms)
        child = self._table[child_id] = Child(child_id, self._born, spec, manifest, package, waits)
        if spec is not None:
            self._used[package] += 1
            self._packages[package] = spec.package
        return child

    def _remove(self, child: Child) -> None:
        if self._table.get(child.id) is not child:
            return
        del self._table[child.id]
        self.teller.forget(child.id)
        if child.spec is not None:
            self._used[child.package] -= 1
            if not self._used[child.package]:
                del self._used[child.package], self._packages[child.package]

    def _silence(self, child: Child) -> None:
        if child.unwatch is not None:
            child.unwatch()
            child.unwatch = None

    def _check_room(self, reference: str, module: bytes) -> None:
        most = self._settings.package_bytes
        wanted = len(module) + sum(len(one) for key, one in self._packages.items() if key != reference)
        if wanted > most:
            raise CapabilityError(
                f"the modules of the children would have {wanted:,} bytes, the grant supervisor.package_bytes = {most} "
                f"allows less. Fix: `package_bytes = {wanted}` in [capabilities.supervisor]"
            )
