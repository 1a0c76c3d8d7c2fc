"""The end of an actor: refuse, let finish or cut, let go, record, forget. Each step has a bound in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import time_ns
from typing import TYPE_CHECKING

from theater_bus.core.chain.bodies import Exit
from theater_bus.core.lifecycle import Phase, StopReason
from theater_bus.errors import ActorError, Cancelled
from theater_bus.plugins import bounded

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.household import Household
    from theater_bus.plugins import PluginRegistry

__all__ = ["cut_short", "end_actor", "end_within", "let_finish", "stop_capabilities"]

log = logging.getLogger("theater_bus.host")

CAPABILITY_STOP_S = 5.0
CUT_S = 10.0
SETTLE_S = 10.0
AT_ONCE = 16
"""Children whose end begins in one turn of the event loop."""
FLUSH_S = 5.0
"""How long the outbox of an actor that ends may take to deliver what is left; one that is terminated gets less."""
CUT_FLUSH_S = 1.0


async def let_finish(actor: Actor, grace_s: float) -> None:
    """Give the running operation its grace time, then cut it."""
    if actor.current is None:
        return
    if grace_s > 0:
        await _idle(actor, grace_s)
    op = actor.current
    if op is not None:
        reason = actor.phases.reason
        word = "terminated" if reason is StopReason.TERMINATED else "shut down"
        cause = "terminate" if reason is StopReason.TERMINATED else "shutdown"
        actor.cut(op, Cancelled(f"the actor was {word} while {op.entry.name} ran", ran="rolled-back"), cause)
        await _idle(actor, CUT_S)


async def _idle(actor: Actor, bound_s: float) -> None:
    if actor.current is None:
        return
    if actor.idle is None or actor.idle.done():
        actor.idle = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(bound_s):
            await asyncio.shield(actor.idle)
    except TimeoutError:
        return


async def cut_short(actor: Actor) -> None:
    """A `terminate` overtakes a `shutdown`: cut the running operation, and the children too."""
    for child in _children(actor):
        actor.services.stop_actor(child, StopReason.TERMINATED)
    await let_finish(actor, 0.0)


async def end_within(actors: Sequence[Actor], bound_s: float) -> None:
    """Wait until actors that are stopping have stopped; those that take longer than `bound_s` are terminated."""
    if await _stopped(actors, bound_s):
        return
    left = [actor for actor in actors if actor.phases.phase is not Phase.STOPPED]
    for actor in left:
        actor.services.stop_actor(actor, StopReason.TERMINATED)
    if not await _stopped(left, CUT_S):
        log.error("%s did not end within %s s of being terminated", ", ".join(a.identity.id for a in left), CUT_S)


async def _stopped(actors: Sequence[Actor], bound_s: float) -> bool:
    try:
        async with asyncio.timeout(bound_s):
            for actor in actors:
                await actor.services.stopped(actor)
    except TimeoutError:
        return False
    return True


async def _stop_children(actor: Actor, grace_s: float) -> None:
    """Children end before their parent, the youngest is asked first; not those of an actor that goes on elsewhere."""
    household, reason = actor.household, actor.phases.reason
    if household is None or reason is StopReason.MOVED or reason is StopReason.FENCED:
        return
    word = StopReason.TERMINATED if reason is StopReason.TERMINATED else StopReason.SHUTDOWN
    clock = asyncio.get_running_loop().time
    until = clock() + household.stop_s
    asked: set[Actor] = set()
    while True:
        children = [child for child in household.children.values() if child not in asked]
        if not children and not household.newborn:
            return
        asked.update(children)
        for number, child in enumerate(reversed(children), 1):
            actor.services.stop_actor(child, word, grace_s=grace_s)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # a thousand that end in one turn keep the loop from everybody else
        await end_within(children, until - clock())
        if not await _born(household, until - clock()):
            return


async def _born(household: Household, bound_s: float) -> bool:
    """Wait for the spawns under way, each of which fails or brings another child to stop."""
    try:
        async with asyncio.timeout(bound_s):
            while household.newborn:
                await household.settled()
    except TimeoutError:
        log.error("spawns are still under way: %s", ", ".join(household.newborn))
        return False
    return True


def _children(actor: Actor) -> list[Actor]:
    return [] if actor.household is None else list(actor.household.children.values())


async def stop_capabilities(actor: Actor) -> None:
    """Stop the actor's capabilities, last started first; one that fails or hangs is named and hinders no other.

    What they did not let go of themselves is let go of then.
    """
    steps = [(name, capability.stop) for name, capability in reversed(list(actor.capabilities.items()))]
    for name, stop in steps + [(name, context.close) for name, context in actor.contexts.items()]:
        try:
            await bounded(stop, CAPABILITY_STOP_S)
        except TimeoutError:
            log.warning("capability did not stop within %s s: %s of %s", CAPABILITY_STOP_S, name, actor.identity.id)
        except Exception:
            log.exception("capability failed to stop: %s of %s", name, actor.identity.id)
    actor.capabilities.clear()
    actor.contexts.clear()


async def end_actor(actor: Actor, registry: PluginRegistry, grace_s: float) -> None:
    """All that lies between `stopping` and the moment when nobody listens for the actor any more."""
    actor.supervision.end()
    actor.queue.close()
    for result in await registry.run("theater_actor_stopping", actor=actor.identity, reason=_reason(actor)):
        if result.exception is not None:
            log.error("plugin %s failed in theater_actor_stopping", result.plugin, exc_info=result.exception)
    await asyncio.gather(_stop_children(actor, grace_s), let_finish(actor, grace_s))
    await _settle_sends(actor)
    await _checkpoint(actor)
    await stop_capabilities(actor)
    reason = _reason(actor)
    if reason in ("exited", "shutdown", "failed", "terminated"):
        await _record_exit(actor, reason)
    actor.discard_instance()


async def _settle_sends(actor: Actor) -> None:
    """Let the outbox empty itself; of an actor that comes back what is left is kept."""
    if actor.outbox is None:
        return
    reason = actor.phases.reason
    if reason in (StopReason.MOVED, StopReason.FENCED):
        await actor.outbox.close(0.0, keep=True)
    else:
        await actor.outbox.close(CUT_FLUSH_S if reason is StopReason.TERMINATED else FLUSH_S)


async def _checkpoint(actor: Actor) -> None:
    """Leave a checkpoint behind the last operation, so that what comes after this host reads little."""
    checkpoints, journal = actor.checkpoints, actor.journal
    if checkpoints is None:
        return
    if journal.ahead:
        quiet: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not quiet.done():
                quiet.set_result(None)

        journal.on_quiet = settle
        try:
            async with asyncio.timeout(SETTLE_S):
                await quiet
        except TimeoutError:
            log.error("operations of actor %s were not acknowledged within %s s", actor.identity.id, SETTLE_S)
            return
    if journal.writer.seq and not journal.refusing:
        checkpoints.write()


async def _record_exit(actor: Actor, reason: str) -> None:
    decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(error: ActorError | None) -> None:
        if error is not None:
            log.error("the end of actor %s could not be recorded: %s", actor.identity.id, error)
        if not decided.done():
            decided.set_result(None)

    actor.journal.write(time_ns(), Exit(reason, actor.exit_result), actor.state, settle)
    try:
        async with asyncio.timeout(SETTLE_S):
            await decided
    except TimeoutError:
        log.error("the end of actor %s was not recorded within %s s", actor.identity.id, SETTLE_S)


def _reason(actor: Actor) -> str:
    return actor.phases.reason.value if actor.phases.reason is not None else StopReason.SHUTDOWN.value
