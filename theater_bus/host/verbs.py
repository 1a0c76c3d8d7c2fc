"""What a host answers about itself and does for operators: spawn, info, drain, actors; for the fleet: ping, where."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from theater_bus.core.manifest import Manifest, from_mapping, parse_manifest
from theater_bus.core.wire.form import Form
from theater_bus.core.wire.request import Request
from theater_bus.errors import SpawnRefused
from theater_bus.host.heartbeat import VERSION
from theater_bus.host.spawning import NO_STATE, SpawnRequest
from theater_bus.host.verb_lane import SILENCE, Fields, Handler

if TYPE_CHECKING:
    from theater_bus.host.host import Host

__all__ = ["fleet_handlers", "host_handlers"]

WIRE_FEATURES: tuple[str, ...] = ()


def host_handlers(host: Host) -> Mapping[str, Handler]:
    """The handlers of `theater.<ns>.host.<host-id>.*`."""
    desk = _HostDesk(host)
    return {"spawn": desk.spawn, "info": desk.info, "drain": desk.drain, "actors": desk.actors}


def fleet_handlers(host: Host) -> Mapping[str, Handler]:
    """The handlers of `theater.<ns>.fleet.*`."""
    desk = _HostDesk(host)
    return {"ping": desk.ping, "where": desk.where}


class _HostDesk:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._draining: asyncio.Task[None] | None = None

    async def spawn(self, fields: Fields) -> dict[str, Any]:
        host = self._host
        request: Request = fields[""]
        manifest = _manifest(fields["manifest"])
        package: str | None = fields.get("package")
        digest = manifest.package_digest if package is None else bytes.fromhex(package.removeprefix("sha256:"))
        if digest is not None:
            wasm = await host.packages.by_digest(digest)
        elif manifest.package_reference is not None:
            wasm = await host.packages.by_reference(manifest.package_reference)
        else:
            raise SpawnRefused(
                "over the wire a package is named by digest or reference, and a path is neither. Fix: put the module "
                "where the host finds it (serve --packages DIR) and send its SHA-256, or use `theater-bus spawn`"
            )
        actor = await host.spawn(
            SpawnRequest(
                manifest,
                wasm,
                fields.get("id"),
                fields.get("state", NO_STATE),
                host.parent(fields.get("parent")),
                request.form is not Form.MSGPACK,
                "continue" if fields["continue"] else "fresh" if fields["fresh"] else "new",
            )
        )
        return {
            "id": actor.identity.id,
            "incarnation": actor.journal.writer.incarnation,
            "host": host.id,
            "package": actor.type.package.digest_text,
        }

    def info(self, fields: Fields) -> dict[str, Any]:
        host = self._host
        phases = Counter(actor.phases.phase.value for actor in host.actors.values())
        return {
            "host": host.id,
            "version": VERSION,
            "namespace": host.namespace,
            "labels": {},
            "capacity": {"actors": host.settings.max_actors, "memory_bytes": host.settings.max_memory_bytes},
            "phases": dict(phases),
            "capabilities": [
                {"name": c.name, "interfaces": [i.name for i in c.interfaces], "plugin": c.plugin}
                for c in host.registry.capabilities.values()
            ],
            "wire_features": list(WIRE_FEATURES),
            "started_ms": host.started_ms,
        }

    def drain(self, fields: Fields) -> Any:
        host = self._host
        count = len(host.actors)
        if self._draining is None:
            self._draining = host.loop.create_task(host.drain(_seconds(fields.get("grace_ms"))))
        if not fields["wait"]:
            return {"accepted": True, "actors": count}
        return self._drained(self._draining, count)

    async def _drained(self, draining: asyncio.Task[None], count: int) -> dict[str, Any]:
        await asyncio.shield(draining)
        return {"accepted": True, "actors": count}

    def actors(self, fields: Fields) -> dict[str, Any]:
        ids = sorted(i for i in self._host.actors if i > fields["after"])
        page = ids[: fields["limit"]]
        listed = [self._host.actors[i] for i in page]
        return {
            "actors": [{"id": a.identity.id, "name": a.identity.name, "phase": a.phases.phase.value} for a in listed],
            "next": page[-1] if len(ids) > len(page) else None,
        }

    def ping(self, fields: Fields) -> dict[str, Any]:
        host = self._host
        return {"host": host.id, "version": VERSION, "actors": len(host.actors)}

    def where(self, fields: Fields) -> Any:
        actor = self._host.actors.get(fields["id"])
        if actor is None:
            return SILENCE
        return {
            "id": actor.identity.id,
            "host": self._host.id,
            "incarnation": actor.journal.writer.incarnation,
        }


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _manifest(given: Any) -> Manifest:
    if isinstance(given, str):
        return parse_manifest(given, "the spawn's manifest")
    return from_mapping(given, "the spawn's manifest")
