"""The language of endpoints: hosts and networks with ports, for whatever connects and listens.

`HOST:PORTS`, where HOST is a name, `*.suffix`, `*` for every name, an address or a network (`10.0.0.0/8`,
`[fd00::/8]`), and PORTS is a port, a range (`8000-8999`) or `*`.

Invariants: names and addresses have nothing in common, so that a name never grants what it resolves to; two patterns
share what one pattern says, which is what makes their intersections exact.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

from theater_bus.errors import SpawnRefused

__all__ = ["Endpoints", "check_name"]

Pattern: TypeAlias = tuple[str, ...]

PORTS: Final = range(1 << 16)
_NETWORK: Final = re.compile(r"[0-9.]+(/[0-9]+)?|\[[0-9a-f:.]+(/[0-9]+)?\](/[0-9]+)?")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


def check_name(name: str) -> None:
    """Raise `ValueError` for what is no name of a host, such as an address in a form of which there are several."""
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("is no host. Fix: write a name, an address, or `*.` and a domain, without scheme and port")
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        raise ValueError("ends in a number and is no address. Fix: write the address in full")


class Endpoints:
    """Hosts, networks and `*.suffix`, each with a range of ports."""

    name = "endpoints"
    most = 64
    most_met = 512

    def parse(self, text: str) -> Pattern:
        """`(kind, host, first port, last port)`; kind is `any`, `below` (a suffix), `name` or `net`."""
        host, colon, ports = text.lower().rpartition(":")
        if not colon:
            raise ValueError("has no port. Fix: write HOST:PORT, HOST:FIRST-LAST or HOST:*")
        return (*_host(host), *_ports(ports))

    def show(self, pattern: Pattern) -> str:
        """`HOST:PORTS` in its shortest form."""
        kind, host, first, last = pattern
        if kind == "net":
            network = ip_network(host)
            whole = network.prefixlen == network.max_prefixlen
            host = str(network.network_address) if whole else str(network)
            host = f"[{host}]" if network.version == 6 else host
        shown = {"any": "*", "below": f"*.{host}"}.get(kind, host)
        if (int(first), int(last)) == (PORTS.start, PORTS[-1]):
            return f"{shown}:*"
        return f"{shown}:{first}" if first == last else f"{shown}:{first}-{last}"

    def within(self, pattern: Pattern, bounds: Collection[Pattern]) -> bool:
        """Whether one of `bounds` holds whatever `pattern` does."""
        return any(_met(pattern, bound) == pattern for bound in bounds)

    def meet(self, mine: Collection[Pattern], yours: Collection[Pattern]) -> set[Pattern]:
        """The pattern of each pair. Raises `SpawnRefused` for more than can be compared with one another."""
        met = {_met(one, other) for one in mine for other in yours}
        found = {one for one in met if one is not None}
        if len(found) > self.most_met:
            raise SpawnRefused(
                f"the endpoints that all sides allow need {len(found):,} patterns, more than {self.most_met}. "
                "Fix: name fewer or wider ones",
                limit=self.most_met,
            )
        return found


def _host(text: str) -> tuple[str, str]:
    if text == "*":
        return "any", ""
    if _NETWORK.fullmatch(text):
        try:
            network = ip_network(text.replace("[", "").replace("]", ""))
        except ValueError:
            raise ValueError("is no address and no network. Fix: write 10.0.0.1, 10.0.0.0/8 or [fd00::/8]") from None
        return "net", str(_plain(network))
    name = text.removeprefix("*.").removesuffix(".")
    check_name(name)
    return ("below" if text.startswith("*.") else "name"), name


def _plain(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """IPv4 addresses that are written as IPv6 ones (`::ffff:10.0.0.1`) are those IPv4 addresses."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def _ports(text: str) -> tuple[str, str]:
    first, dash, last = text.partition("-")
    if text == "*":
        return str(PORTS.start), str(PORTS[-1])
    if not dash:
        last = first
    if not (_is_port(first) and _is_port(last) and int(first) <= int(last)):
        raise ValueError("ends in no port. Fix: write a port up to 65535, FIRST-LAST or *")
    return str(int(first)), str(int(last))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) in PORTS


def _met(one: Pattern, other: Pattern) -> Pattern | None:
    """The endpoints that both hold; two patterns never need more than one pattern for that."""
    first, last = max(int(one[2]), int(other[2])), min(int(one[3]), int(other[3]))
    host = _met_host(one[:2], other[:2])
    return None if host is None or first > last else (*host, str(first), str(last))


def _met_host(one: Pattern, other: Pattern) -> Pattern | None:
    if _holds(one, other):
        return other
    return one if _holds(other, one) else None


def _holds(wide: Pattern, narrow: Pattern) -> bool:
    if "net" in (wide[0], narrow[0]):
        return wide[0] == narrow[0] and _contains(ip_network(wide[1]), ip_network(narrow[1]))
    if wide[0] == "any" or wide == narrow:
        return True
    return wide[0] == "below" and narrow[0] != "any" and narrow[1].endswith(f".{wide[1]}")


def _contains(wide: IPv4Network | IPv6Network, narrow: IPv4Network | IPv6Network) -> bool:
    return (
        wide.version == narrow.version
        and wide.prefixlen <= narrow.prefixlen
        and int(wide.network_address) == int(narrow.network_address) & int(wide.netmask)
    )
