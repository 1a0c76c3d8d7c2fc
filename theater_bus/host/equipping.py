"""The capabilities of an actor that begins: made within its grants, given what they had before, bound and started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from theater_bus.errors import SpawnRefused
from theater_bus.host.actor_context import ActorContext
from theater_bus.host.host_call import HostCalls
from theater_bus.host.recalling import recall, snapshot_of
from theater_bus.plugins import bounded

if TYPE_CHECKING:
    from theater_bus.capability import Capability
    from theater_bus.core.chain.restore import RecoveredActor
    from theater_bus.host.actor import Actor
    from theater_bus.host.granting import Granted
    from theater_bus.host.host import Host
    from theater_bus.plugins import CapabilityType

__all__ = ["equip"]

CAPABILITY_START_S = 10.0


async def equip(host: Host, actor: Actor, granted: Granted, past: RecoveredActor | None = None) -> None:
    """Make and start the actor's capabilities, bind its imports, and run the plugins' `theater_actor_starting`.

    `past` is what the chain has of an actor that goes on. Raises `SpawnRefused`.
    """
    for capability in actor.type.capabilities:
        _make(actor, capability, granted, snapshot_of(capability.cls, past))
    bound = [
        (one.function, one.function.bind(actor.capabilities[one.provider], host.run_blocking))
        for one in actor.type.bindings
    ]
    actor.calls = HostCalls(actor, bound, host.registry.host_call_middleware)
    if past is not None:
        await recall(actor, past, host.archive.store_of(actor).payload)
    for name, instance in actor.capabilities.items():
        await _start(name, instance)
    for result in await host.registry.run("theater_actor_starting", actor=actor.identity):
        if result.exception is not None:
            raise SpawnRefused(
                f"plugin {result.plugin!r} refused the start: {type(result.exception).__name__}: {result.exception}"
            ) from result.exception


def _make(actor: Actor, capability: CapabilityType, granted: Granted, snapshot: bytes | None) -> None:
    name = capability.name
    try:
        context = actor.contexts[name] = ActorContext(actor, name, granted.plain(name))
        instance = capability.cls(context, granted.settings[name])
        if snapshot is not None:
            instance.restore(snapshot)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # nothing is awaited here, so that a cancellation is the capability's own
        raise SpawnRefused(f"capability {name!r} cannot be made: {type(error).__name__}: {error}") from error
    actor.capabilities[name] = instance


async def _start(name: str, instance: Capability) -> None:
    try:
        await bounded(instance.start, CAPABILITY_START_S)
    except TimeoutError:
        raise SpawnRefused(f"capability {name!r} did not start within {CAPABILITY_START_S:g} s") from None
    except Exception as error:
        raise SpawnRefused(f"capability {name!r} did not start: {type(error).__name__}: {error}") from error
