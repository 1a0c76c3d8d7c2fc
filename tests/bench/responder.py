"""The process at the other end: `python -m tests.bench.responder KIND URL [ACTORS]`, one kind a process.

Kinds: `raw` (nats-py, subscribe and publish), `faststream`, `host` (no tracing), `host-sampled`, `host-unsampled`,
`host-otlp` (sampled, and exported to `tests.bench.sink`), `components` and `web` (a host with guests that are
components).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

HOSTS = ("host", "host-sampled", "host-otlp", "host-unsampled")
SUBJECT = "bench.echo"
COMPONENTS = ("counter-c", "probe-javascript", "probe-python")
WEB = ("web-python", "web-javascript")


async def raw(url: str) -> None:
    """nats-py, as its documentation shows it."""
    import nats
    from nats.aio.msg import Msg

    client = await nats.connect(url)

    async def answer(message: Msg) -> None:
        await client.publish(message.reply, message.data)

    await client.subscribe(SUBJECT, cb=answer)
    await client.flush()
    await client.flush()
    print("READY", flush=True)
    await asyncio.Event().wait()


async def faststream(url: str) -> None:
    """FastStream RPC over NATS."""
    from faststream.nats import NatsBroker

    broker = NatsBroker(url, logger=None)

    @broker.subscriber(f"{SUBJECT}.faststream")
    async def answer(data: bytes) -> bytes:
        return data

    await broker.start()
    print("READY", flush=True)
    await asyncio.Event().wait()


async def host(url: str, actors: int, kind: str) -> None:
    """A host with `actors` echo actors."""
    from tests.bench.guest import echo_manifest, echo_wasm
    from theater_bus.host.host import Host
    from theater_bus.host.settings import HostSettings
    from theater_bus.host.spawning import SpawnRequest

    running = await Host.start(HostSettings(servers=(url,), host_id="bench"), telemetry=telemetry(kind))
    wasm, manifest = echo_wasm(), echo_manifest()
    for number in range(actors):
        await running.spawn(SpawnRequest(manifest, wasm, f"echo-{number}"))
    print("READY", flush=True)
    await asyncio.Event().wait()


async def components(url: str, names: Sequence[str]) -> None:
    """A host with an actor of each component, under its name, and the Pack guest that gives back what it gets."""
    from tests.bench.component_guests import compiled_folder, component, component_manifest, component_state
    from theater_bus.core.manifest import parse_manifest
    from theater_bus.host.host import Host
    from theater_bus.host.settings import HostSettings
    from theater_bus.host.spawning import SpawnRequest
    from theater_bus.testing import guest

    settings = HostSettings(servers=(url,), host_id="bench", cache_dir=compiled_folder())
    running = await Host.start(settings, telemetry=telemetry("host"))
    pack = guest("echo")
    await running.spawn(SpawnRequest(parse_manifest('name = "pack"\ninitial_state = 0\n', "pack"), pack.wasm, "pack"))
    for name in names:
        await running.spawn(SpawnRequest(component_manifest(name), component(name), name, component_state(name)))
    print("READY", flush=True)
    await asyncio.Event().wait()


def telemetry(kind: str):  # type: ignore[no-untyped-def]
    """Of a host of this kind, and of its client. Spans go to an exporter that drops them, or over OTLP."""
    from theater_bus.telemetry import Telemetry

    if kind == "host":
        return Telemetry.silent()
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

    class Drop(SpanExporter):
        def export(self, spans: Sequence[object]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    exporter: SpanExporter = Drop()
    if kind == "host-otlp":
        from theater_bus.telemetry.otlp import QuickSpanExporter

        exporter = QuickSpanExporter()
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF if kind == "host-unsampled" else ALWAYS_ON))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Telemetry(level="traces", tracer_provider=provider, host_id="bench")


def main(kind: str, url: str, actors: int = 64) -> None:
    """Run until killed."""
    ways: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "raw": lambda: raw(url),
        "faststream": lambda: faststream(url),
        **{each: partial(host, url, actors, each) for each in HOSTS},
        "components": lambda: components(url, COMPONENTS),
        "web": lambda: components(url, WEB),
    }
    if kind in ("raw", "faststream"):
        asyncio.run(ways[kind]())
        return
    from theater_bus.host.collecting import collecting_rarely

    with collecting_rarely():  # as `theater-bus serve` does
        asyncio.run(ways[kind]())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(number) for number in sys.argv[3:4]))
