"""TLS where it was asked for.

nats-py takes `tls://` and a TLS context as a wish: to a server that does not demand TLS it signs in without, so that
whoever answers at the address, or changes the server's first line, reads the credentials.
"""

from __future__ import annotations

from typing import Any

from nats.aio.client import Client
from nats.errors import Error

from theater_bus.bus.settings import BusSettings

__all__ = ["TlsNotOffered", "insist_on_tls"]


class TlsNotOffered(Error):
    """The server that answered speaks no TLS, and it was to."""

    def __str__(self) -> str:
        return "the server that answers there offers no TLS"


def insist_on_tls(client: Client, settings: BusSettings) -> None:
    """Make `client`, which has not connected yet, sign in over TLS alone, where settings or address ask for TLS.

    Holds for reconnects too: then it tries again until the server offers TLS.
    """
    process_info = client._process_info

    async def checked(info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and _is_wanted(client, settings):
            if not (info.get("tls_required") or info.get("tls_available")):
                if client._transport is not None:
                    # When it reconnects, nats-py forgets it.
                    client._transport.close()  # type: ignore[no-untyped-call]
                raise TlsNotOffered
            info["tls_required"] = True  # nats-py does not take up what is only offered
        await process_info(info, initial_connection)

    client._process_info = checked  # type: ignore[method-assign]


def _is_wanted(client: Client, settings: BusSettings) -> bool:
    """Whether somebody asked for TLS that is not spoken yet: `wss` and `handshake_first` begin with it."""
    server = client._current_server
    scheme = "" if server is None else server.uri.scheme
    if settings.tls is not None:
        return scheme != "wss" and not settings.tls.handshake_first
    return scheme == "tls"
