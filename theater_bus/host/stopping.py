"""The end of an actor: refuse, let finish or cut, let go, record, forget. Each step has a bound in time."""

from __future__ import annotations

import asyncio
import logging
from time import time_ns
from typing import TYPE_CHECKING

from theater_bus.core.chain.bodies import Exit
from theater_bus.core.lifecycle import StopReason
from theater_bus.errors import ActorError, Cancelled

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.plugins import PluginRegistry

__all__ = ["end_actor", "let_finish", "refuse_queue", "stop_capabilities"]

log = logging.getLogger("theater_bus.host")

CAPABILITY_STOP_S = 5.0
CUT_S = 10.0
SETTLE_S = 10.0


def refuse_queue(actor: Actor) -> None:
    """Answer everything that waits with `shutting-down`."""
    for timer in (actor.restart_timer, actor.sweep_timer):
        if timer is not None:
            timer.cancel()
    actor.restart_timer = actor.sweep_timer = None
    for op in actor.mailbox.close():
        actor.refuse(op, actor.phases.shutting_down())


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


async def stop_capabilities(actor: Actor) -> None:
    """Stop the actor's capabilities, last started first; one that fails or hangs is named and hinders no other.

    What they did not let go of themselves is let go of then.
    """
    steps = [(name, capability.stop) for name, capability in reversed(list(actor.capabilities.items()))]
    for name, stop in steps + [(name, context.close) for name, context in actor.contexts.items()]:
        try:
            async with asyncio.timeout(CAPABILITY_STOP_S):
                await stop()
        except TimeoutError:
            log.warning("capability did not stop within %s s: %s of %s", CAPABILITY_STOP_S, name, actor.identity.id)
        except Exception:
            log.exception("capability failed to stop: %s of %s", name, actor.identity.id)
    actor.capabilities.clear()
    actor.contexts.clear()


async def end_actor(actor: Actor, registry: PluginRegistry, grace_s: float) -> None:
    """All that lies between `stopping` and the moment when nobody listens for the actor any more."""
    refuse_queue(actor)
    for result in await registry.run("theater_actor_stopping", actor=actor.identity, reason=_reason(actor)):
        if result.exception is not None:
            log.error("plugin %s failed in theater_actor_stopping", result.plugin, exc_info=result.exception)
    await let_finish(actor, grace_s)
    await _checkpoint(actor)
    await stop_capabilities(actor)
    reason = _reason(actor)
    if reason in ("exited", "shutdown", "failed", "terminated"):
        await _record_exit(actor, reason)
    actor.discard_instance()


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
