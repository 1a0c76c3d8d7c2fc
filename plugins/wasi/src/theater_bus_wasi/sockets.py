"""`wasi:sockets`: there is no network for guests yet; every way to one says so in WASI's own words."""

from __future__ import annotations

from typing import Any

from theater_bus.capability import CapabilityError
from theater_bus_wasi.table import Group, named

__all__ = ["Sockets"]

_TCP = (
    "start-bind finish-bind start-connect finish-connect start-listen finish-listen accept "
    "local-address remote-address is-listening address-family set-listen-backlog-size "
    "keep-alive-enabled set-keep-alive-enabled "
    "keep-alive-idle-time set-keep-alive-idle-time keep-alive-interval set-keep-alive-interval keep-alive-count "
    "set-keep-alive-count hop-limit set-hop-limit receive-buffer-size set-receive-buffer-size send-buffer-size "
    "set-send-buffer-size subscribe shutdown"
)
_UDP = (
    "start-bind finish-bind stream local-address remote-address address-family unicast-hop-limit "
    "set-unicast-hop-limit receive-buffer-size set-receive-buffer-size send-buffer-size set-send-buffer-size subscribe"
)


def _methods(interface: str, resource: str, names: str) -> list[str]:
    return [f"wasi:sockets/{interface}.[method]{resource}.{name}" for name in names.split()]


class Sockets(Group):
    """The interfaces of `wasi:sockets`. A guest gets a network that leads nowhere, and no socket."""

    @named("wasi:sockets/instance-network.instance-network")
    def instance_network(self) -> int:
        return self.table.put(object())

    @named("wasi:sockets/tcp-create-socket.create-tcp-socket", "wasi:sockets/udp-create-socket.create-udp-socket")
    def create_socket(self, family: str) -> int:
        raise CapabilityError("access-denied")

    @named("wasi:sockets/ip-name-lookup.resolve-addresses")
    def resolve_addresses(self, network: int, name: str) -> int:
        raise CapabilityError("access-denied")

    # Nobody has a socket to call these of.
    @named(
        "wasi:sockets/network.network-error-code",
        *_methods("tcp", "tcp-socket", _TCP),
        *_methods("udp", "udp-socket", _UDP),
        *_methods("udp", "incoming-datagram-stream", "receive subscribe"),
        *_methods("udp", "outgoing-datagram-stream", "check-send send subscribe"),
        *_methods("ip-name-lookup", "resolve-address-stream", "resolve-next-address subscribe"),
    )
    def without_a_socket(self, *args: Any) -> Any:
        raise CapabilityError("access-denied")
