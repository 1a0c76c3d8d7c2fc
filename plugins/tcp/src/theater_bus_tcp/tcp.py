"""`theater:simple/tcp`, compatible with guests built for Theater.

Invariants: what an operation opened and then did not get to say is closed with it; all else that happened on a
connection has happened, whatever becomes of the operation. A connection that TLS failed on is closed.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from theater_bus.capability import (
    ENDPOINTS,
    FLAG,
    NUMBER,
    OWN,
    STRINGS,
    Capability,
    CapabilityError,
    Context,
)
from theater_bus.capability import Settings as BaseSettings
from theater_bus_tcp.certificate import HostSettings
from theater_bus_tcp.connection import ON_DATA, Connection
from theater_bus_tcp.dialing import dial
from theater_bus_tcp.endpoint import Reach, bound_socket, parse_endpoint
from theater_bus_tcp.handing import Handing
from theater_bus_tcp.holding import Holding
from theater_bus_tcp.listener import Listener
from theater_bus_tcp.outgoing import with_secrets
from theater_bus_tcp.wire import HandshakeFailed, Lost

__all__ = ["Tcp"]

CLOSE_S = 1.0


class Tcp(Capability):
    """Connections and listeners of one actor."""

    name = "tcp"
    pact = "tcp.pact"
    HostSettings = HostSettings

    class Settings(BaseSettings):
        """`[capabilities.tcp]`; bounds that hosts and parents can lower."""

        connect: Annotated[tuple[str, ...] | Literal["unlimited"], ENDPOINTS] = ()
        listen: Annotated[tuple[str, ...] | Literal["unlimited"], ENDPOINTS] = ()
        transfers: Annotated[bool, FLAG] = False
        certificates: Annotated[tuple[str, ...], STRINGS] = ()
        connections: Annotated[int, NUMBER, Field(ge=0, le=1_000_000)] = 64
        listeners: Annotated[int, NUMBER, Field(ge=0, le=1_000)] = 4
        backlog: Annotated[int, NUMBER, Field(ge=1, le=10_000)] = 16
        waiting: Annotated[int, NUMBER, Field(ge=1, le=1_000)] = 16
        chunk_bytes: Annotated[int, NUMBER, Field(ge=1, le=1 << 20)] = 65_536
        connect_ms: Annotated[int, NUMBER, Field(ge=1, le=3_600_000)] = 10_000
        handshake_ms: Annotated[int, NUMBER, Field(ge=1, le=3_600_000)] = 10_000
        client_tls: Annotated[bool, OWN] = False
        server_tls: Annotated[bool, OWN] = False

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._holding = Holding(context, settings)
        self._handing = Handing(self._holding)
        self._connect = Reach(context.actor.id, "connect", settings.connect)
        self._listen = Reach(context.actor.id, "listen", settings.listen)
        self._restored: list[tuple[str, str]] = []
        self._numbered = 0

    # -- connecting and listening --------------------------------------------------------------------------------------

    async def connect(self, address: str) -> str:
        """A connection to HOST:PORT, open and passive."""
        endpoint = parse_endpoint(address)
        if not endpoint.port:
            raise CapabilityError(f"{address!r:.100}: port 0 is no port to connect to")
        is_tls = endpoint.is_tls or self.settings.client_tls
        self._holding.take_place()
        try:
            addresses = await self._connect.addresses(endpoint, self.settings.connect_ms / 1000)
            context = await self._holding.switchboard.contexts.client() if is_tls else None
            wire = await dial(endpoint, addresses, context, self.settings)
        except BaseException:
            self._holding.free_place()
            raise
        return self._opened(self._holding.hold(wire, endpoint.host, is_pending=False))

    def listen(self, address: str) -> str:
        """A listener on ADDRESS:PORT."""
        listener = self._listening(self._next_listener(), address)
        self.context.on_operation_end(partial(self._was_opened, listener))
        self.context.snapshot_changed()
        return listener.id

    def _listening(self, id: str, address: str) -> Listener:
        endpoint = parse_endpoint(address)
        if not endpoint.is_address:
            raise CapabilityError(
                f"{address!r:.100} is no place to listen. Fix: write an address, such as 0.0.0.0:8080"
            )
        self._listen.check(endpoint)
        certificate = self._certificate() if endpoint.is_tls or self.settings.server_tls else None
        holding = self._holding
        if len(holding.listeners) >= self.settings.listeners:
            raise CapabilityError(
                f"the grant tcp.listeners = {self.settings.listeners} is used up. Fix: close one, or "
                f"`listeners = {self.settings.listeners + 1}` in [capabilities.tcp]"
            )
        listener = holding.listeners[id] = Listener(holding, id, endpoint, bound_socket(endpoint), certificate)
        return listener

    def _next_listener(self) -> str:
        self._numbered += 1
        return f"listener-{self._numbered}"

    async def accept(self, listener_id: str) -> str:
        """The next connection of a listener, pending."""
        return self._opened(await self._listener(listener_id).accept())

    def activate(self, connection_id: str) -> None:
        """Open a pending connection."""
        self._holding.find(connection_id).is_pending = False

    async def close_listener(self, listener_id: str) -> None:
        """End a listener. Its port is free afterwards."""
        listener = self._listener(listener_id)
        del self._holding.listeners[listener_id]
        self.context.snapshot_changed()
        await asyncio.wait(listener.close(), timeout=CLOSE_S)

    def _listener(self, id: str) -> Listener:
        found = self._holding.listeners.get(id)
        if found is None:
            raise CapabilityError(f"this actor has no listener {id!r:.80}; it was closed, or never there")
        return found

    def _opened(self, connection: Connection) -> str:
        self.context.on_operation_end(partial(self._was_opened, connection))
        return connection.id

    def _was_opened(self, what: Connection | Listener, took_effect: bool) -> None:
        """An operation that failed has not told anybody what it opened."""
        if took_effect:
            return
        if isinstance(what, Connection):
            self._holding.drop(what)
        elif self._holding.listeners.get(what.id) is what:
            del self._holding.listeners[what.id]
            what.close()

    # -- data ----------------------------------------------------------------------------------------------------------

    async def send(self, connection_id: str, data: bytes) -> int:
        """Send all of the data, with the values of secrets in the place of their handles."""
        connection = self._open(connection_id)
        sent = await with_secrets(self.context, connection, data)
        try:
            await connection.wire.write(sent)
        except Lost as error:
            raise CapabilityError(f"nothing can be sent: {error}") from error
        return len(data)

    async def receive(self, connection_id: str, max_bytes: int) -> bytes:
        """Up to so many bytes, as soon as there are any; none at the end."""
        connection = self._open(connection_id)
        if connection.mode != "passive":
            raise CapabilityError(
                f"connection {connection.id} is {connection.mode}: its data arrives at on-data. Fix: set-active "
                "to passive first"
            )
        if not max_bytes:
            raise CapabilityError("0 bytes cannot be told from the end. Fix: receive 1 or more")
        try:
            return await connection.wire.read(min(max_bytes, self.settings.chunk_bytes))
        except Lost as error:
            raise CapabilityError(f"nothing can be received: {error}") from error

    def set_active(self, connection_id: str, mode: str) -> None:
        """Say how data arrives: `passive`, `active` or `once`."""
        connection = self._open(connection_id)
        if connection.is_ending:
            raise CapabilityError(f"connection {connection.id} has ended: its on-close is on its way")
        if mode == "passive":
            connection.rest()
            return
        if mode not in ("active", "once"):
            raise CapabilityError(f"{mode!r:.80} is no mode. Fix: passive, active or once")
        if not self.context.has_export(ON_DATA):
            raise CapabilityError(
                f"the actor has no {ON_DATA}. Fix: export `{ON_DATA}: func(state: S, connection-id: string, "
                "data: list<u8>) -> result<tuple<S>, string>`"
            )
        connection.mode = "active" if mode == "active" else "once"
        self._holding.teller.look(connection)

    def close(self, connection_id: str) -> None:
        """End a connection behind what was sent."""
        self._holding.drop(self._holding.find(connection_id))

    def _open(self, id: str) -> Connection:
        connection = self._holding.find(id)
        if connection.is_pending:
            raise CapabilityError(f"connection {connection.id} is pending. Fix: activate it first")
        return connection

    # -- addresses -----------------------------------------------------------------------------------------------------

    def peer_address(self, connection_id: str) -> str:
        """The other side's ADDRESS:PORT."""
        return self._holding.find(connection_id).peer

    def local_address(self, id: str) -> str:
        """This side's ADDRESS:PORT."""
        listener = self._holding.listeners.get(id)
        return self._holding.find(id).wire.address("sockname") if listener is None else listener.address

    def list_connections(self) -> list[str]:
        """The connections that the actor has."""
        return list(self._holding.connections)

    # -- handing over --------------------------------------------------------------------------------------------------

    async def transfer(self, connection_id: str, target_actor: str) -> None:
        """Hand a connection over, and wait until the target has dealt with it; it comes back where that fails."""
        await self._handing.wait(self._holding.find(connection_id), target_actor)

    def transfer_async(self, connection_id: str, target_actor: str) -> None:
        """Hand a connection over; it is closed where the target fails at it."""
        self._handing.go_on(self._holding.find(connection_id), target_actor)

    # -- TLS -----------------------------------------------------------------------------------------------------------

    async def upgrade_to_tls_server(self, connection_id: str) -> None:
        """Go on with TLS, with the certificate that the manifest names."""
        connection = self._upgradable(connection_id)
        context = await self._holding.switchboard.contexts.server(self._certificate())
        await self._upgrade(connection, context, None)

    async def upgrade_to_tls_client(self, connection_id: str, server_name: str) -> None:
        """Go on with TLS, with a server that proves to be of this name."""
        connection = self._upgradable(connection_id)
        name = parse_endpoint(f"{server_name}:0").host
        await self._upgrade(connection, await self._holding.switchboard.contexts.client(), name)
        connection.host = name

    def _certificate(self) -> str:
        names: tuple[str, ...] = self.settings.certificates
        if len(names) != 1:
            raise CapabilityError(
                f"the grant tcp.certificates names {len(names)} certificates, and a server presents one. "
                'Fix: `certificates = ["NAME"]` under [capabilities.tcp], NAME as in the host\'s configuration'
            )
        return names[0]

    def _upgradable(self, id: str) -> Connection:
        connection = self._open(id)
        if connection.wire.is_tls:
            raise CapabilityError(f"connection {connection.id} is encrypted already")
        if connection.mode != "passive" or connection.wire.held:
            raise CapabilityError(
                f"connection {connection.id} is {connection.mode} and holds {connection.wire.held} bytes that came "
                "before the handshake. Fix: set-active to passive, and receive them first"
            )
        return connection

    async def _upgrade(self, connection: Connection, context: ssl.SSLContext, name: str | None) -> None:
        try:
            await connection.wire.start_tls(context, name, self.settings.handshake_ms / 1000)
        except (HandshakeFailed, Lost) as error:
            self._holding.drop(connection)
            raise CapabilityError(f"TLS failed, and the connection is closed: {error}") from error
        except BaseException:
            self._holding.drop(connection)
            raise

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Be there for others, and listen again where the actor listened before its host went away."""
        self._holding.join()
        for id, address in self._restored:
            self._numbered = max(self._numbered, int(id.rpartition("-")[2]))
            try:
                self._listening(id, address)
            except CapabilityError as error:
                self.context.report_failure(f"{id} on {address} did not come back: {error}")

    async def stop(self) -> None:
        """Close everything that is this actor's."""
        await self._holding.end()

    def snapshot(self) -> bytes | None:
        """Where the actor listens. Connections end with their host."""
        found = [(one.id, ("tls://" if one.endpoint.is_tls else "") + one.endpoint.at()) for one in self._listeners()]
        return json.dumps(found, separators=(",", ":")).encode() if found else None

    def _listeners(self) -> list[Listener]:
        return list(self._holding.listeners.values())

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        try:
            self._restored = [(f"listener-{int(id.rpartition('-')[2])}", str(at)) for id, at in json.loads(snapshot)]
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"this is no snapshot of listeners: {error!r}") from error
