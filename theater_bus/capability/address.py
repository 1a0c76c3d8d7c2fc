"""Names into addresses, and which addresses are public: what a capability asks before it connects anywhere.

A name is resolved first, its addresses are judged, and the connection goes to an address that was judged: a name that
leads to a private address, or to another one the second time, gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Lock

__all__ = ["is_public", "plain_address", "resolve"]

LOOKUPS = 32
"""Threads that wait for name servers. They are the lookups' own: a slow one delays no other work of the host."""
LOOKUPS_EACH = 2
"""Of these for one actor: names that nobody answers for must not take up all of them."""
_NAT64 = IPv6Network("64:ff9b::/96")


def plain_address(text: str) -> str | None:
    """An address in its shortest form, None for what is no address; `::ffff:10.0.0.1` is `10.0.0.1`.

    A form that only some libraries take for an address (`127.1`, `0x7f000001`, `fe80::1%eth0`) is none.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    return str(address)


def is_public(address: str) -> bool:
    """Whether an address is one of the whole internet's: not of this machine, a private network, or a group.

    An IPv6 address that leads to an IPv4 one (6to4, Teredo, NAT64) is public if that one is, too. Raises `ValueError`
    for what is no address.
    """
    one = ip_address(address)
    if one in _NAT64:
        return _is_public(IPv4Address(int(one) & 0xFFFFFFFF))
    return _is_public(one) and all(_is_public(inner) for inner in _inner(one))


def _is_public(one: IPv4Address | IPv6Address) -> bool:
    if isinstance(one, IPv6Address) and one.is_site_local:
        return False
    return one.is_global and not (one.is_multicast or one.is_reserved or one.is_unspecified)


def _inner(one: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses within an IPv6 one."""
    if isinstance(one, IPv4Address):
        return []
    return [inner for inner in (one.ipv4_mapped, one.sixtofour, *(one.teredo or ())) if inner is not None]


async def resolve(host: str, port: int, *, owner: str = "") -> list[str]:
    """The addresses of a name in the order in which to try them, or the address that `host` is.

    `owner` is the id of the actor that wants to know. Raises `OSError` for a name that does not resolve. It waits as
    long as the system's resolver does, so cancel it at a deadline; but a lookup that was cancelled goes on, and an
    owner with two of them under way is refused a third one.
    """
    known = plain_address(host)
    if known is not None:
        return [known]
    try:
        host.encode("idna")
    except UnicodeError:
        raise OSError(f"{host!r} is no name of a host") from None
    found = await asyncio.wrap_future(_lookups().look_up(owner, host, port))
    return list(dict.fromkeys(found))


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [plain for *_, where in found if (plain := plain_address(str(where[0]))) is not None]


class _Lookups:
    """The threads, and how many lookups of each owner are under way: those that were cancelled still take one up."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="theater-bus-lookup")
        self._under_way: Counter[str] = Counter()
        self._lock = Lock()

    def look_up(self, owner: str, host: str, port: int) -> Future[list[str]]:
        with self._lock:
            if owner and self._under_way[owner] >= LOOKUPS_EACH:
                raise OSError(f"{LOOKUPS_EACH} lookups of this actor are under way, and no name server has answered")
            self._under_way[owner] += 1
        looking = self._threads.submit(_look_up, host, port)
        looking.add_done_callback(partial(self._ended, owner))
        return looking

    def _ended(self, owner: str, _: object) -> None:
        with self._lock:
            self._under_way[owner] -= 1
            self._under_way += Counter()  # owners without any are forgotten


@lru_cache(maxsize=1)
def _lookups() -> _Lookups:
    return _Lookups()
