"""What an actor's capabilities get back: the snapshot of each, and then what the chain has of their later calls.

Invariant: a capability hears of every call that a checkpoint does not cover, once, in order, before it starts.
Source: the chain page, "Ownership, recovery, failover".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from theater_bus.capability import Capability
from theater_bus.core.chain.layout import Payload
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import Unit
from theater_bus.errors import SpawnRefused

if TYPE_CHECKING:
    from theater_bus.core.chain.restore import RecoveredActor
    from theater_bus.host.actor import Actor
    from theater_bus.host.frame import Imported

__all__ = ["Lookup", "recall", "snapshot_of"]

Lookup = Callable[[bytes], Awaitable[bytes | None]]


def snapshot_of(capability: type[Capability], past: RecoveredActor | None) -> bytes | None:
    """What the capability takes over. Of an actor that had ended only some do."""
    if past is None or not _goes_on(capability, past):
        return None
    return past.snapshots.get(capability.name)


async def recall(actor: Actor, past: RecoveredActor, lookup: Lookup) -> None:
    """Tell the capabilities what they answered since their snapshots. Raises `SpawnRefused` for one that refuses."""
    functions: dict[tuple[str, str], tuple[Capability, Imported]] = {}
    for binding in actor.type.bindings:
        instance = actor.capabilities[binding.provider]
        if type(instance).recorded is not Capability.recorded and _goes_on(type(instance), past):
            functions[binding.function.interface, binding.function.name] = (instance, binding.function)
    for call in past.later if functions else ():
        found = functions.get((call.interface, call.function))
        if found is None or call.output is None:
            continue
        instance, function = found
        try:
            args = function.codec.decode_args(await _bytes(call.input, lookup))
            codec = value_codec(function.declaration.result or Unit())
            value = codec.decode(codec.check(await _bytes(call.output, lookup)))
            instance.recorded(call.function, args, value)
        except Exception as error:
            name = type(instance).name
            raise SpawnRefused(f"capability {name!r} cannot go on: {type(error).__name__}: {error}") from error


def _goes_on(capability: type[Capability], past: RecoveredActor) -> bool:
    return past.exited is None or capability.outlives_exit


async def _bytes(payload: Payload, lookup: Lookup) -> bytes:
    data = payload if isinstance(payload, bytes) else await lookup(payload.digest)
    if data is None:
        raise LookupError("a recorded call is not in the data directory's objects")
    return data
