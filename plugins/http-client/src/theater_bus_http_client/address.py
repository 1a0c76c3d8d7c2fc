"""Which addresses may be reached: public ones, and of the others those that the grant `private` names.

Invariants: a name is resolved once, all of its addresses are checked, and the connection goes to one of these; an
address that carries another one in itself (IPv4 in IPv6) is judged by both.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from theater_bus.capability import CapabilityError

__all__ = ["CheckedResolver", "check_address", "is_public"]

Address: TypeAlias = IPv4Address | IPv6Address
Allows: TypeAlias = Callable[[str], bool]
"""Whether the grant `private` holds an endpoint (`ADDRESS:PORT`)."""

_NAT64: Final = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether an address, and each that it carries, is one of the public network."""
    return all(one.is_global and not one.is_multicast for one in _carried(address))


def check_address(host: str, text: str, port: int, is_granted: Allows) -> None:
    """Raise `CapabilityError` for an address that is neither public nor granted; `host` is what led to it."""
    address = ip_address(text.partition("%")[0])
    shown = f"[{address}]" if address.version == 6 else str(address)
    if is_public(address) or is_granted(f"{shown}:{port}"):
        return
    raise CapabilityError(
        f"{host} leads to {address}, which is no public address and not granted by http-client.private. Fix: add "
        f'"{shown}:{port}" to `private` under [capabilities.http-client] in the actor\'s manifest; its parent and the '
        "host must allow as much"
    )


class CheckedResolver(AbstractResolver):
    """Names for aiohttp's connector: resolved by the system, and refused as a whole for one address that may not be."""

    def __init__(self, is_granted: Allows) -> None:
        self._is_granted = is_granted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses that a connection may go to. Raises `CapabilityError`, or `OSError` when there are none."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results: list[ResolveResult] = []
        for kind, _, protocol, _, place in found:
            text = str(place[0])
            check_address(host, text, port, self._is_granted)
            results.append(
                ResolveResult(
                    hostname=host, host=text, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _carried(address: Address) -> Iterator[Address]:
    yield address
    if isinstance(address, IPv4Address):
        return
    teredo = address.teredo
    inner = [address.ipv4_mapped, address.sixtofour, *(teredo or ())]
    if address in _NAT64:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    for one in inner:
        if one is not None:
            yield one
