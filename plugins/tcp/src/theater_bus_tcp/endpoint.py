"""From the address that a guest names to a connected socket: parsed, granted, resolved, judged, and then connected to.

Invariants: a name is resolved only if the grant holds it; the socket connects to an address that was judged, whatever
the name says a moment later; a name never leads to an address that is not public unless that address is granted itself.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from theater_bus.capability import ENDPOINTS, CapabilityError, is_public, plain_address, resolve
from theater_bus_tcp.wire import reason_of

__all__ = ["Endpoint", "Reach", "bound_socket", "connected_socket", "parse_endpoint"]

TLS = "tls://"
MOST_ADDRESSES = 4
"""Addresses of a name that are tried."""
PENDING = 128
"""Connections that the system may hold for a listener while the actor is behind."""
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (a name, or an address in its shortest form) and a port, to be used with TLS or without."""

    host: str
    port: int
    is_tls: bool

    @property
    def is_address(self) -> bool:
        """Whether the host is an address."""
        return plain_address(self.host) is not None

    def at(self, host: str | None = None) -> str:
        """HOST:PORT, or with another host."""
        host = self.host if host is None else host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """`HOST:PORT` or `tls://HOST:PORT`. Raises `CapabilityError` for anything else."""
    host, colon, port = text.removeprefix(TLS).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = plain_address(host[1:-1] if bracketed else host)
    is_name = not bracketed and address is None and _NAME.fullmatch(host) is not None
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16
    wants_brackets = not bracketed and ":" in host
    if not colon or not is_port or wants_brackets or not (address or is_name) or not _is_readable(host, port):
        raise CapabilityError(
            f"{text!r:.100} is no address. Fix: write HOST:PORT, [ADDRESS]:PORT for IPv6, or tls:// in front of either"
        )
    return Endpoint(address or host.lower().removesuffix("."), int(port), text.startswith(TLS))


def _is_readable(host: str, port: str) -> bool:
    """Whether grants can speak of it: not so for numbers that only some libraries take for an address (`127.1`)."""
    try:
        ENDPOINTS.read([f"{host}:{port}"])
    except ValueError:
        return False
    return True


class Reach:
    """How far a grant of the actor `owner` reaches. `setting` is its name, for errors."""

    def __init__(self, owner: str, setting: str, granted: Iterable[str] | str) -> None:
        self._owner = owner
        self._setting = setting
        self._bound = ENDPOINTS.read(granted if isinstance(granted, str) else list(granted))

    def check(self, endpoint: Endpoint) -> None:
        """Raise `CapabilityError` where the grant does not hold the endpoint."""
        if not self._bound.allows(endpoint.at()):
            raise self._refusal(endpoint.at(), f"the grant tcp.{self._setting} does not hold {endpoint.at()}")

    async def addresses(self, endpoint: Endpoint, timeout_s: float) -> list[str]:
        """The addresses of an endpoint that may be connected to. Raises `CapabilityError` where there are none."""
        self.check(endpoint)
        if endpoint.is_address:
            return [endpoint.host]
        try:
            async with asyncio.timeout(timeout_s):
                found = await resolve(endpoint.host, endpoint.port, owner=self._owner)
        except OSError as error:
            raise CapabilityError(f"{endpoint.host} does not resolve: {reason_of(error)}") from error
        allowed = [one for one in found if self._bound.allows(endpoint.at(one)) or is_public(one)]
        if not allowed:
            where = endpoint.at(found[0]) if found else "no address"
            raise self._refusal(where, f"{endpoint.host} leads to {where}, which is not public and not granted itself")
        return allowed[:MOST_ADDRESSES]

    def _refusal(self, missing: str, why: str) -> CapabilityError:
        return CapabilityError(
            f'{why}. Fix: add "{missing}" to `{self._setting}` under [capabilities.tcp] in the actor\'s manifest; its '
            "parent and the host must allow as much"
        )


async def connected_socket(endpoint: Endpoint, addresses: list[str], timeout_s: float) -> socket.socket:
    """A socket that is connected to the first of the addresses that answers, each with its share of the time.

    Raises `CapabilityError` with what the last one said.
    """
    error: OSError | None = None
    for address in addresses:
        try:
            async with asyncio.timeout(timeout_s / len(addresses)):
                return await _connected(address, endpoint.port)
        except OSError as caught:  # TimeoutError is one
            error = caught
    why = "it has no address" if error is None else reason_of(error)
    raise CapabilityError(f"{endpoint.at()} cannot be reached: {why}") from error


async def _connected(address: str, port: int) -> socket.socket:
    one = _socket(address)
    try:
        await asyncio.get_running_loop().sock_connect(one, (address, port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except BaseException:
        one.close()
        raise
    return one


def bound_socket(endpoint: Endpoint) -> socket.socket:
    """A socket that listens there. Raises `CapabilityError`."""
    one = _socket(endpoint.host)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 is granted by itself
        one.bind((endpoint.host, endpoint.port))
        one.listen(PENDING)
    except OSError as error:
        one.close()
        raise CapabilityError(f"{endpoint.at()} cannot be listened on: {reason_of(error)}") from error
    return one


def _socket(address: str) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    one.setblocking(False)
    return one
