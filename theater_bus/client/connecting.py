"""How a client comes to its Theater."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from types import TracebackType

from theater_bus.bus import BusSettings
from theater_bus.client.theater import Theater
from theater_bus.core.wire.subjects import DEFAULT_NAMESPACE
from theater_bus.errors import ConfigurationError
from theater_bus.telemetry import Telemetry

__all__ = ["Connecting", "connect", "settings_of"]

Servers = str | Sequence[str]


class Connecting:
    """A connection to be made: `async with connect(…) as theater`, or `theater = await connect(…)`."""

    __slots__ = ("_caller", "_namespace", "_settings", "_telemetry", "_theater")

    def __init__(self, settings: BusSettings, namespace: str, telemetry: Telemetry | None, caller: str | None) -> None:
        self._settings = settings
        self._namespace = namespace
        self._telemetry = telemetry
        self._caller = caller
        self._theater: Theater | None = None

    def __await__(self) -> Generator[None, None, Theater]:
        return Theater.open(self._settings, self._namespace, self._telemetry, self._caller).__await__()

    async def __aenter__(self) -> Theater:
        self._theater = await self
        return self._theater

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._theater is not None:
            await self._theater.close()


def connect(
    servers: Servers | None = None,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    options: BusSettings | None = None,
    telemetry: Telemetry | None = None,
    caller: str | None = None,
) -> Connecting:
    """Connect to the actors of a namespace; `async with` or `await` the result, which gives a `Theater`.

    `servers` are one or more addresses (`nats://host:4222`; default: those of `options`, else the local server);
    `options` credentials and the rest. Without `telemetry` the client reports to the global OpenTelemetry providers.
    `caller` is the name to call under, where NATS permissions are written for it.

    Raises `ConnectionLost` with the reason when no server takes us, `ConfigurationError` for a setting that cannot be
    used.
    """
    return Connecting(settings_of(servers, options), namespace, telemetry, caller)


def settings_of(servers: Servers | None, options: BusSettings | None) -> BusSettings:
    """The settings of the connection. Raises `ConfigurationError`."""
    if servers is None:
        return options or BusSettings(name="theater_bus client")
    addresses = tuple(part.strip() for part in servers.split(",")) if isinstance(servers, str) else tuple(servers)
    if not all(addresses):
        raise ConfigurationError("servers", f"{servers!r} holds an empty address", "write nats://host:4222")
    return replace(options or BusSettings(name="theater_bus client"), servers=addresses)
