"""Making one nats-py client: options from settings, and a first connect that fails fast and says why.

nats-py either retries its first connect for ever or gives up reconnecting later. Here the first connect tries every
server once, and a client that has been connected reconnects without limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.aio.client import Server as PoolServer
from nats.errors import InvalidUserCredentialsError

from theater_bus.bus.credentials import signing_in
from theater_bus.bus.encryption import insist_on_tls
from theater_bus.bus.failure import connection_lost
from theater_bus.bus.pacing import pace
from theater_bus.bus.settings import BusSettings

__all__ = ["Callbacks", "close_quietly", "dial"]

# Above anything that a server accepts in one message (64 MB), so that nats-py never waits for a flush inside publish.
_HEADROOM_BYTES = 80 * 1024 * 1024
_CLOSE_TIMEOUT_S = 5.0
_CANCELLATIONS = 20


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a client reports after it has connected. Called on the loop, some inside the reader: return at once."""

    error: Callable[[Client, Exception], None]
    disconnected: Callable[[Client], None]
    reconnected: Callable[[Client], None]
    closed: Callable[[Client], None]
    lame_duck: Callable[[Client], None]


async def dial(settings: BusSettings, callbacks: Callbacks) -> Client:
    """A connected client, or ConnectionLost with the reason and what to change."""
    client = Client()
    if settings.light_subscriptions and not any(server.startswith(("ws:", "wss:")) for server in settings.servers):
        pace(client)
    insist_on_tls(client, settings)
    first = _FirstConnect(len(settings.servers))
    if settings.creds_file is not None:
        _check_credentials(settings)
    options = _options(settings) | _wired(client, callbacks, first)
    connecting = asyncio.get_running_loop().create_task(client.connect(**options))
    try:
        await asyncio.wait(
            {connecting, first.failed},
            timeout=settings.connect_timeout_s * len(settings.servers) + 0.5,
            return_when=asyncio.FIRST_COMPLETED,
        )
        error = _verdict(client, connecting, first)
    except asyncio.CancelledError:
        await _abandon(client, connecting)
        raise
    finally:
        first.failed.cancel()
    if error is not None:
        await _abandon(client, connecting)
        raise connection_lost(settings, error) from error
    first.over = True
    return client


def _check_credentials(settings: BusSettings) -> None:
    """Raise ConnectionLost for a file that cannot be used: a server that asks nobody would not ask for it either."""
    assert settings.creds_file is not None
    try:
        signing_in(settings.creds_file)[0]()
    except (OSError, InvalidUserCredentialsError) as error:
        raise connection_lost(settings, error) from error


async def close_quietly(client: Client) -> None:
    """Close, whatever state the client is in; errors of a socket that is gone anyway are not news."""
    if client._flush_queue is None:
        return  # it never got as far as opening a socket
    if not client.is_connected:
        # nats-py would write what waits to the socket that is gone; asyncio of Python 3.13 answers with TypeError.
        client._pending, client._pending_data_size = [], 0
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await client.close()
    await _end(client._reconnection_task)


async def _end(attempt: asyncio.Task[None] | None) -> None:
    """End the reconnecting of a closed client, which would go on for ever.

    nats-py does not look after it when something else has closed the client, and a cancellation that meets the failure
    of an attempt is lost in it.
    """
    for _ in range(_CANCELLATIONS):
        if attempt is None or attempt.done():
            return
        attempt.cancel()
        await asyncio.wait({attempt}, timeout=_CLOSE_TIMEOUT_S / _CANCELLATIONS)


class _FirstConnect:
    """Counts the failed attempts of the first connect; fails when every server has been tried."""

    def __init__(self, servers: int) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = False
        self.last: Exception | None = None
        self._left = servers

    def attempt_failed(self, error: Exception) -> None:
        self.last = error
        self._left -= 1
        if self._left <= 0 and not self.failed.done():
            self.failed.set_result(None)


def _verdict(client: Client, connecting: asyncio.Task[None], first: _FirstConnect) -> BaseException | None:
    if not connecting.done():
        return first.last or TimeoutError()
    if connecting.exception() is None and not client.is_connected:
        # nats-py takes the end of the stream in the middle of the handshake for a success.
        return ConnectionResetError("the stream ended")
    return connecting.exception()


async def _abandon(client: Client, connecting: asyncio.Task[None]) -> None:
    connecting.cancel()
    await asyncio.wait({connecting}, timeout=_CLOSE_TIMEOUT_S)
    await close_quietly(client)


def _options(settings: BusSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "servers": list(settings.servers),
        "name": settings.name,
        "connect_timeout": settings.connect_timeout_s,
        "reconnect_time_wait": settings.reconnect_wait_s,
        "max_reconnect_attempts": -1,
        "ping_interval": settings.ping_interval_s,
        "max_outstanding_pings": settings.max_outstanding_pings,
        "inbox_prefix": settings.inbox_prefix,
        "pending_size": settings.pending_bytes + _HEADROOM_BYTES,
        # Connection checks every subject itself, more strictly and for less.
        "skip_subject_validation": True,
        "reconnect_to_server_handler": _next_server(settings),
        "user": settings.user,
        "password": settings.password,
        "token": settings.token,
        "nkeys_seed_str": settings.nkey_seed,
        "nkeys_seed": str(settings.nkey_seed_file) if settings.nkey_seed_file else None,
    }
    if settings.creds_file is not None:
        options["user_jwt_cb"], options["signature_cb"] = signing_in(settings.creds_file)
    if settings.tls is not None:
        options["tls"] = settings.tls.context()
        options["tls_hostname"] = settings.tls.hostname
        options["tls_handshake_first"] = settings.tls.handshake_first
    return options


def _next_server(settings: BusSettings) -> Callable[[list[PoolServer], dict[str, Any]], tuple[PoolServer, float]]:
    """Least tried first, after a wait with jitter, so that a fleet does not come back in one instant."""

    def choose(pool: list[PoolServer], info: dict[str, Any]) -> tuple[PoolServer, float]:
        server = min(pool, key=lambda candidate: candidate.reconnects)
        wait_s = settings.reconnect_wait_s if server.reconnects else settings.reconnect_wait_s / 5
        return server, wait_s * random.uniform(0.5, 1.5)

    return choose


def _wired(
    client: Client, callbacks: Callbacks, first: _FirstConnect
) -> dict[str, Callable[..., Coroutine[Any, Any, None]]]:
    async def error(problem: Exception) -> None:
        if first.over:
            callbacks.error(client, problem)
        else:
            first.attempt_failed(problem)

    def telling(report: Callable[[Client], None]) -> Callable[[], Coroutine[Any, Any, None]]:
        async def tell() -> None:
            if first.over:
                report(client)

        return tell

    return {
        "error_cb": error,
        "disconnected_cb": telling(callbacks.disconnected),
        "reconnected_cb": telling(callbacks.reconnected),
        "closed_cb": telling(callbacks.closed),
        "lame_duck_mode_cb": telling(callbacks.lame_duck),
    }
