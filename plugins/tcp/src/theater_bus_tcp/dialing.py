"""From an endpoint whose addresses were judged to a connected wire."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from theater_bus.capability import CapabilityError
from theater_bus_tcp.endpoint import Endpoint, connected_socket
from theater_bus_tcp.wire import LINGER_S, Wire, reason_of

__all__ = ["dial"]


async def dial(endpoint: Endpoint, addresses: list[str], context: ssl.SSLContext | None, settings: Any) -> Wire:
    """A wire to the first of the addresses that answers, with TLS where a context is given.

    Raises `CapabilityError`; nothing is left open then, nor when it is cancelled.
    """
    loop, wire = asyncio.get_running_loop(), Wire(settings.chunk_bytes)
    sock = await connected_socket(endpoint, addresses, settings.connect_ms / 1000)
    options: dict[str, Any] = {}
    if context is not None:
        wire.is_tls = wire.is_verified = True
        options = {
            "ssl": context,
            "server_hostname": endpoint.host,
            "ssl_handshake_timeout": settings.handshake_ms / 1000,
            "ssl_shutdown_timeout": LINGER_S,
        }
    try:
        await loop.create_connection(lambda: wire, sock=sock, **options)
    except (OSError, ssl.SSLError) as error:
        sock.close()
        what = f"TLS with {endpoint.at()} failed" if context is not None else f"{endpoint.at()} cannot be reached"
        raise CapabilityError(f"{what}: {reason_of(error)}") from error
    except BaseException:
        sock.close()
        raise
    return wire
