"""`wasi:sockets`: outgoing TCP connections and names, by grant. There is no UDP, and nobody listens."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import Any

from theater_bus.capability import CapabilityError
from theater_bus_wasi.network import Connection, Reach, SocketInput, SocketOutput
from theater_bus_wasi.table import Group, Pollable, named

__all__ = ["Sockets"]

_CODES = {
    errno.ECONNREFUSED: "connection-refused",
    errno.ECONNRESET: "connection-reset",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "remote-unreachable",
    errno.ENETUNREACH: "remote-unreachable",
}
_TCP = "wasi:sockets/tcp.[method]tcp-socket."
_OPTIONS = {
    "keep-alive-enabled": False,
    "keep-alive-idle-time": 7200_000_000_000,
    "keep-alive-interval": 75_000_000_000,
    "keep-alive-count": 9,
    "hop-limit": 64,
    "receive-buffer-size": 65536,
    "send-buffer-size": 65536,
}
_UDP = (
    "start-bind finish-bind stream local-address remote-address address-family unicast-hop-limit "
    "set-unicast-hop-limit receive-buffer-size set-receive-buffer-size send-buffer-size set-send-buffer-size subscribe"
)


class TcpSocket:
    """A socket of a guest: it connects once. `options` are remembered, and left to the system."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.connection: Connection | None = None
        self.output: SocketOutput | None = None
        self.options: dict[str, Any] = dict(_OPTIONS)

    def close(self) -> None:
        """The guest let go of it; its streams go on."""
        if self.connection is not None:
            self.connection.close()


class Addresses:
    """The addresses of a name, one after another."""

    def __init__(self, found: list[str]) -> None:
        self.found = found


def _plain(address: dict[str, Any]) -> tuple[str, int]:
    """Address and port of an `ip-socket-address`."""
    ((family, where),) = address.items()
    if family == "ipv4":
        return ".".join(map(str, where["address"])), where["port"]
    return str(ip_address(b"".join(part.to_bytes(2, "big") for part in where["address"]))), where["port"]


def _wit(address: str) -> dict[str, Any]:
    """An `ip-address`."""
    one = ip_address(address)
    if one.version == 4:
        return {"ipv4": list(one.packed)}
    return {"ipv6": [int.from_bytes(one.packed[at : at + 2], "big") for at in range(0, 16, 2)]}


def _socket_address(address: str, port: int) -> dict[str, Any]:
    ((family, parts),) = _wit(address).items()
    more = {} if family == "ipv4" else {"flow-info": 0, "scope-id": 0}
    return {family: {"port": port, "address": parts, **more}}


class Sockets(Group):
    """The interfaces of `wasi:sockets`."""

    def __init__(self, wasi: Any) -> None:
        super().__init__(wasi)
        self._reach = Reach(self.settings.connect)

    @named("wasi:sockets/instance-network.instance-network")
    def instance_network(self) -> int:
        return self.table.put(object())

    # -- names -------------------------------------------------------------------------------------------------------

    @named("wasi:sockets/ip-name-lookup.resolve-addresses")
    async def resolve_addresses(self, network: int, name: str) -> int:
        try:
            found = await self._reach.addresses(name)
        except OSError:
            raise CapabilityError("name-unresolvable") from None
        if found is None:
            raise CapabilityError("access-denied")
        return self.table.put(Addresses(found))

    @named("wasi:sockets/ip-name-lookup.[method]resolve-address-stream.resolve-next-address")
    def resolve_next_address(self, number: int) -> dict[str, Any] | None:
        found = self.table.get(number, Addresses).found
        return _wit(found.pop(0)) if found else None

    @named("wasi:sockets/ip-name-lookup.[method]resolve-address-stream.subscribe")
    def subscribe_addresses(self, number: int) -> int:
        return self.table.put(Pollable.always())

    # -- TCP ---------------------------------------------------------------------------------------------------------

    @named("wasi:sockets/tcp-create-socket.create-tcp-socket")
    def create_tcp_socket(self, family: str) -> int:
        if not self.settings.connect:
            raise CapabilityError("access-denied")
        return self.table.put(TcpSocket(family))

    @named(_TCP + "start-connect")
    def start_connect(self, number: int, network: int, remote: dict[str, Any]) -> None:
        socket = self.table.get(number, TcpSocket)
        if socket.connection is not None:
            raise CapabilityError("invalid-state")
        address, port = _plain(remote)
        if not self._reach.allows(address, port):
            raise CapabilityError("access-denied")
        socket.connection = Connection(address, port)

    @named(_TCP + "finish-connect")
    def finish_connect(self, number: int) -> list[int]:
        socket = self.table.get(number, TcpSocket)
        if socket.connection is None or socket.output is not None:
            raise CapabilityError("not-in-progress")
        if not socket.connection.is_open:
            raise CapabilityError("would-block")
        try:
            socket.connection.streams()
        except OSError as error:
            raise CapabilityError(_CODES.get(error.errno or 0, "unknown")) from None
        socket.output = SocketOutput(socket.connection)
        return [self.table.put(SocketInput(socket.connection)), self.table.put(socket.output)]

    @named(_TCP + "subscribe")
    def subscribe(self, number: int) -> int:
        connection = self.table.get(number, TcpSocket).connection
        return self.table.put(Pollable.always() if connection is None else connection.pollable())

    @named(_TCP + "shutdown")
    def shutdown(self, number: int, how: str) -> None:
        output = self.table.get(number, TcpSocket).output
        if output is None:
            raise CapabilityError("invalid-state")
        if how != "receive":
            output.shut()

    @named(_TCP + "remote-address")
    def remote_address(self, number: int) -> dict[str, Any]:
        connection = self.table.get(number, TcpSocket).connection
        if connection is None or not connection.is_open:
            raise CapabilityError("invalid-state")
        return _socket_address(*connection.remote)

    @named(_TCP + "local-address")
    def local_address(self, number: int) -> dict[str, Any]:
        socket = self.table.get(number, TcpSocket)
        if socket.connection is None or socket.output is None:
            raise CapabilityError("invalid-state")
        where = socket.connection.streams()[1].get_extra_info("sockname")
        return _socket_address(where[0], where[1])

    @named(_TCP + "address-family")
    def address_family(self, number: int) -> str:
        return self.table.get(number, TcpSocket).family

    @named(_TCP + "is-listening")
    def is_listening(self, number: int) -> bool:
        return False

    @named(*(_TCP + one for one in ("start-bind", "finish-bind", "start-listen", "finish-listen", "accept")))
    def listen(self, *_args: Any) -> Any:
        raise CapabilityError("access-denied")

    @named(_TCP + "set-listen-backlog-size")
    def set_backlog(self, number: int, value: int) -> None:
        return None

    # -- UDP: nobody has a socket to call these of -------------------------------------------------------------------

    @named(
        "wasi:sockets/network.network-error-code",
        "wasi:sockets/udp-create-socket.create-udp-socket",
        *(f"wasi:sockets/udp.[method]udp-socket.{one}" for one in _UDP.split()),
        *(f"wasi:sockets/udp.[method]incoming-datagram-stream.{one}" for one in ("receive", "subscribe")),
        *(f"wasi:sockets/udp.[method]outgoing-datagram-stream.{one}" for one in ("check-send", "send", "subscribe")),
    )
    def without_a_socket(self, *_args: Any) -> Any:
        raise CapabilityError("access-denied")


def _getter(option: str) -> Any:
    @named(_TCP + option)
    def get(self: Sockets, number: int) -> Any:
        return self.table.get(number, TcpSocket).options[option]

    return get


def _setter(option: str) -> Any:
    @named(f"{_TCP}set-{option}")
    def set_(self: Sockets, number: int, value: Any) -> None:
        self.table.get(number, TcpSocket).options[option] = value

    return set_


for _option in _OPTIONS:
    setattr(Sockets, f"get_{_option}", _getter(_option))
    setattr(Sockets, f"set_{_option}", _setter(_option))
