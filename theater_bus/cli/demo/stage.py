"""What the demo plays on: a nats-server, a host and a client of its own, all gone when it ends."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theater_bus.bus import BusSettings, Connection, EmbeddedServer
from theater_bus.cli.demo import runtime
from theater_bus.client import Theater, connect
from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings
from theater_bus.plugins import Found, PluginRegistry, find
from theater_bus.telemetry import Telemetry, TraceCollector

__all__ = ["GUESTS", "Stage", "capabilities", "set_stage"]

GUESTS = Path(__file__).resolve().parent.parent / "demo_guests"
"""Where the demo's guests and their manifests are; `theater-bus spawn` takes them too."""

NAMESPACE = "demo"
_MAX_PAYLOAD = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that scenes need. `raw` is a plain NATS connection that knows nothing of actors."""

    server: EmbeddedServer
    host: Host
    theater: Theater
    telemetry: Telemetry
    raw: Connection
    traces: TraceCollector
    folder: Path


@asynccontextmanager
async def set_stage() -> AsyncIterator[Stage]:
    """Start everything, and stop it in order. Raises `ConfigurationError` without a nats-server to start."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="theater-bus-demo-")))
        # A megabyte in one message is above the default of NATS.
        server = await stack.enter_async_context(EmbeddedServer(config=f"max_payload: {_MAX_PAYLOAD}"))
        traces = TraceCollector()
        host = await _host(stack, server, traces)
        provider = traces.provider("caller")
        stack.callback(provider.shutdown)
        telemetry = Telemetry(tracer_provider=provider)
        stack.push_async_callback(telemetry.close)
        theater = await stack.enter_async_context(connect(server.url, namespace=NAMESPACE, telemetry=telemetry))
        raw = await stack.enter_async_context(await Connection.open(BusSettings(servers=(server.url,))))
        yield Stage(server, host, theater, telemetry, raw, traces, folder)


def capabilities(installed: Sequence[Found]) -> PluginRegistry:
    """The plugin `runtime` where it is installed, else the demo's own; no other is loaded. Raises `PluginError`."""
    found = [one for one in installed if one.name == "runtime"]
    registry = PluginRegistry.discover(found=found, extra=[] if found else [("demo", runtime)])
    for failure in registry.failures:
        raise failure
    return registry


async def _host(stack: AsyncExitStack, server: EmbeddedServer, traces: TraceCollector) -> Host:
    provider = traces.provider("host")
    stack.callback(provider.shutdown)
    own: dict[str, Any] = {
        "servers": (server.url,),
        "namespace": NAMESPACE,
        "host_id": "demo-host",
        "grace_ms": 1000,
        "_env_prefix": "THEATER_BUS_DEMO_",  # what the real hosts of this machine are told is not for this one
    }
    settings = HostSettings(**own)
    host = await Host.start(settings, registry=capabilities(find()), telemetry=Telemetry(tracer_provider=provider))
    stack.push_async_callback(host.close)
    return host
