"""The beginning of a host: what must be so before it may answer. Each step refuses with what to mend."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from theater_bus.errors import ActorError, ConfigurationError, ConnectionLost, PluginError
from theater_bus.plugins import PluginRegistry
from theater_bus.telemetry import Telemetry

if TYPE_CHECKING:
    from theater_bus.host.host import Host
    from theater_bus.host.settings import HostSettings

__all__ = ["ask_plugins", "check_own_id", "load_plugins", "register_gauges", "register_telemetry"]

log = logging.getLogger("theater_bus.host")

OWN_ID_S = 0.5
"""How long a start waits for another host of its id; one that died lately may still count as a listener."""


async def load_plugins(
    settings: HostSettings, given: PluginRegistry | None, telemetry: Telemetry | None
) -> PluginRegistry:
    """The plugins of a host, those that cannot be loaded named in the log.

    Raises `PluginError` in production, where one that cannot be loaded might be the one that says no.
    """
    registry = given
    if registry is None:
        registry = await asyncio.to_thread(PluginRegistry.discover, allow=settings.allowed_plugins())
    for failure in registry.failures:
        if telemetry is None:  # else the event says it, in the same log
            log.warning("%s", failure)
            continue
        reason = f"in {failure.subject}: {failure.problem}"
        telemetry.event("plugin.refused", plugin=failure.plugin, reason=reason, fix=failure.fix)
    if settings.mode == "production" and registry.failures:
        raise registry.failures[0]
    return registry


def register_telemetry(registry: PluginRegistry, telemetry: Telemetry) -> None:
    """Let plugins emit what their `theater_telemetry` names. Raises `PluginError` for what cannot be registered."""
    for plugin in dict.fromkeys(name for name, _ in registry.telemetry):
        try:
            telemetry.register_plugin(plugin, [one for name, one in registry.telemetry if name == plugin])
        except ConfigurationError as error:
            raise PluginError(plugin, "theater_telemetry", error.problem, error.fix) from error


def register_gauges(host: Host) -> None:
    """What the host's telemetry reads when it is collected."""
    register, tally, actors, engine = host.telemetry.register_gauge, host.tally, host.actors, host.engine
    register("theater.chain.segments", lambda: tally.segments)
    register("theater.chain.bytes", lambda: tally.segment_bytes)
    register("theater.mailbox.depth", lambda: sum(len(actor.mailbox) for actor in actors.values()))
    register("theater.outbox.depth", lambda: sum(a.outbox.size for a in actors.values() if a.outbox is not None))
    register("theater.guest.memory", lambda: engine.memory_bytes)
    register("theater.module_cache.modules", lambda: engine.modules)


async def check_own_id(host: Host) -> None:
    """Raise `ConfigurationError` when a host of this id answers: every verb would be done by both."""
    try:
        await host.bus.services.request_one(host.subjects.host(host.id, "info"), b"", timeout_s=OWN_ID_S)
    except (ActorError, ConnectionLost):
        return
    raise ConfigurationError(
        "host_id",
        f"a host {host.id!r} runs already in namespace {host.namespace!r}",
        "stop it, or give this one another id with --host-id or THEATER_BUS_HOST_ID",
    )


async def ask_plugins(host: Host) -> None:
    """Run the plugins' `theater_host_starting`. Raises `PluginError` for one that refuses."""
    for result in await host.registry.run("theater_host_starting", host=host.id, namespace=host.namespace):
        if result.exception is not None:
            raise PluginError(
                result.plugin, "theater_host_starting", f"{type(result.exception).__name__}: {result.exception}"
            ) from result.exception
