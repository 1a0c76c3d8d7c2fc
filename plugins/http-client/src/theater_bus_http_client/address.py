"""Which addresses may be reached: public ones, and of the others those that the grant `private` names.

Invariants: a name is resolved once, all of its addresses are checked, and the connection goes to one of these; what
aiohttp takes for an address, and therefore does not have resolved, is checked before it gets it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from theater_bus.capability import CapabilityError, is_public, plain_address, resolve

__all__ = ["Allows", "CheckedResolver", "check_address", "looks_like_an_address"]

Allows: TypeAlias = Callable[[str], bool]
"""Whether the grant `private` holds an endpoint (`ADDRESS:PORT`)."""


def looks_like_an_address(host: str) -> bool:
    """Whether aiohttp connects to `host` without asking its resolver (`aiohttp.helpers.is_ip_address`)."""
    return ":" in host or host.replace(".", "").isdigit()


def check_address(host: str, text: str, port: int, is_granted: Allows) -> None:
    """Raise `CapabilityError` for an address that is neither public nor granted; `host` is what led to it."""
    address = plain_address(text)
    if address is None:
        raise CapabilityError(f"{text!r} is no address. Fix: write it in full, without a zone")
    endpoint = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if is_public(address) or is_granted(endpoint):
        return
    raise CapabilityError(
        f"{host} leads to {address}, which is no public address and not granted by http-client.private. Fix: add "
        f'"{endpoint}" to `private` under [capabilities.http-client] in the actor\'s manifest; its parent and the host '
        "must allow as much"
    )


class CheckedResolver(AbstractResolver):
    """Names for aiohttp's connector: resolved by the system, and refused as a whole for one address that may not be."""

    def __init__(self, is_granted: Allows, owner: str = "") -> None:
        self._is_granted = is_granted
        self._owner = owner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses that a connection may go to. Raises `CapabilityError`, or `OSError` when there are none."""
        addresses = await resolve(host, port, owner=self._owner)
        for address in addresses:
            check_address(host, address, port, self._is_granted)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""
