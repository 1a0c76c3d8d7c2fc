"""`theater:simple/supervisor`, compatible with guests built for Theater's head and for 0.3.12.

Invariants: a name that is no child of this very actor is refused, and nothing happens; each end of a child is told
once, except the ends that are none: of a child that is restarted, that is waited for, or whose spawn never took effect
because its operation failed; no host function waits for what a child does, except for its end, with a bound.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from pydantic import Field

from theater_bus import ActorError
from theater_bus.capability import (
    NOT_GIVEN,
    NUMBER,
    OWN,
    STRINGS,
    Capability,
    CapabilityError,
    ChildEnd,
    Context,
)
from theater_bus.capability import Settings as BaseSettings
from theater_bus_supervisor.keeping import Keeper
from theater_bus_supervisor.record import Child
from theater_bus_supervisor.strategy import Strategy, Trigger

__all__ = ["Supervisor"]

MIB = 1024 * 1024


class Supervisor(Capability):
    """The children of one actor."""

    name = "supervisor"
    pact = "supervisor.pact"

    class Settings(BaseSettings):
        """`[capabilities.supervisor]`. Hosts and parents can lower numbers and lists; how it restarts is its own."""

        descendants: Annotated[int, NUMBER, Field(ge=0, le=1_000_000)] = 100
        package_bytes: Annotated[int, NUMBER, Field(ge=0, le=1024 * MIB)] = 64 * MIB
        schemes: Annotated[tuple[str, ...] | Literal["unlimited"], STRINGS] = ()
        ids: Annotated[tuple[str, ...] | Literal["unlimited"], STRINGS] = ()
        event_bytes: Annotated[int, NUMBER, Field(ge=0, le=16 * MIB)] = MIB
        stop_ms: Annotated[int, NUMBER, Field(ge=0, le=600_000)] = 5_000
        max_restarts: Annotated[int, NUMBER, Field(ge=0, le=1_000_000)] = 10
        window_s: Annotated[int, OWN, Field(ge=1, le=86_400)] = 60
        backoff_ms: Annotated[int, OWN, Field(ge=0, le=30_000)] = 100
        strategy: Annotated[Strategy, OWN] = "none"
        restart: Annotated[Trigger, OWN] = "failed"

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._keeper = Keeper(context, settings)

    # -- theater:simple/supervisor -------------------------------------------------------------------------------------

    async def spawn(self, manifest: str, init_state: Any, wasm_bytes: bytes | None) -> str:
        """Start a child; it is undone where the operation fails."""
        return (await self._keeper.spawn(manifest, wasm_bytes, state=_given(init_state))).id

    async def spawn_and_wait(
        self, manifest: str, init_state: Any, wasm_bytes: bytes | None, timeout_ms: int | None
    ) -> bytes | None:
        """Start a child and wait for its end; what still runs after the time is stopped."""
        return await self._wait_for(
            await self._keeper.spawn(manifest, wasm_bytes, state=_given(init_state)), timeout_ms
        )

    async def resume(self, manifest: str, state_bytes: bytes | None, wasm_bytes: bytes | None) -> str:
        """Start a child from a state, without `init`."""
        return (await self._keeper.spawn(manifest, wasm_bytes, cgrf=state_bytes, resumed=True)).id

    def list_children(self) -> list[str]:
        """The children that live, in the order of their birth."""
        return [one for one in self.context.children.ids() if self._keeper.is_own(one)]

    async def restart_child(self, child_id: str) -> None:
        """Stop a child and start it again as it was started first."""
        child = self._keeper.find(child_id)
        if child is None or child.spec is None:
            raise CapabilityError(f"{child_id} was spawned by others, so how to start it again is not known here")
        child.is_renewed = True
        try:
            await self.context.children.stop(child_id)
            await self._keeper.begin_again(child)
        except (ActorError, asyncio.CancelledError) as error:
            child.is_renewed = False
            if child_id not in self.context.children.ids():
                code, text = getattr(error, "code", "cancelled"), str(error) or "its restart was cut"
                self._keeper.gone(child, ChildEnd(child_id, "failed", None, code, text))
            if isinstance(error, ActorError):
                raise CapabilityError(f"{child_id} was stopped and could not be started again: {error}") from error
            raise

    async def stop_child(self, child_id: str) -> None:
        """Stop a child; comes back when it has stopped, after `stop_ms` by being terminated."""
        if self._keeper.give_up(child_id):
            return
        child = self._keeper.find(child_id)
        if child is not None:
            child.is_stopped = True
        await self.context.children.stop(child_id)

    def get_child_state(self, child_id: str) -> bytes | None:
        """The last acknowledged state of a child, as CGRF."""
        self._keeper.find(child_id)
        return self.context.children.state(child_id)

    async def get_child_events(self, child_id: str) -> list[bytes]:
        """The last events of a child's chain, at most `event_bytes` of them."""
        self._keeper.find(child_id)
        return await self.context.children.events(child_id, self.settings.event_bytes)

    def subscribe_to_child(self, child_id: str) -> None:
        """Tell the guest the child's events from here on; a second time changes nothing."""
        keeper = self._keeper
        child = keeper.find(child_id)
        if not keeper.teller.hears("handle-child-event"):
            raise CapabilityError(
                "the actor has no theater:simple/supervisor-handlers.handle-child-event. Fix: export it as `func(state:"
                " S, child-id: string, event-type: string, event-data: list<u8>) -> result<tuple<S>, string>`"
            )
        child = child or keeper.meet(child_id)
        if not child.is_watched:
            keeper.watch(child)
            self._undo(keeper.unwatch, child)

    def unsubscribe_from_child(self, child_id: str) -> None:
        """Tell no more; without a subscription nothing changes."""
        child = self._keeper.find(child_id)
        if child is not None and child.is_watched:
            self._keeper.unwatch(child)
            self._undo(self._keeper.watch_again, child)

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Hear of children, and take over what was restored."""
        await self._keeper.start()

    async def stop(self) -> None:
        """Restart and tell no more."""
        await self._keeper.stop()

    def snapshot(self) -> bytes | None:
        """The children, and what of their ends the guest has not been told."""
        return self._keeper.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._keeper.restore(snapshot)

    def _undo(self, how: Any, child: Child) -> None:
        """Take back what was done to a child where the operation fails."""
        self.context.on_operation_end(lambda worked: None if worked else how(child))
        self.context.snapshot_changed()

    async def _wait_for(self, child: Child, timeout_ms: int | None) -> bytes | None:
        child.waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                end = await child.waiter
        except TimeoutError:
            self._end(child, at_once=False)
            raise CapabilityError(f"{child.id} did not end within {timeout_ms} ms; it is being stopped") from None
        except asyncio.CancelledError:
            self._end(child, at_once=True)
            raise
        if end.reason == "exited":
            return end.result
        raise CapabilityError(f"{child.id} ended: {end.reason}" + (f": {end.message}" if end.message else ""))

    def _end(self, child: Child, *, at_once: bool) -> None:
        if child.id in self.context.children.ids():
            self.context.children.end(child.id, at_once=at_once)


def _given(init_state: Any) -> Any:
    """The state of an `option<value>`: `{"some": state}`, or None for the manifest's."""
    return NOT_GIVEN if init_state is None else init_state["some"]
