"""One namespace as a client sees it: its actors by id, its hosts, and how an actor comes to life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from theater_bus.bus import BusSettings, Connection
from theater_bus.client.actor import ActorHandle
from theater_bus.client.chain import ChainView
from theater_bus.client.package import Blueprint, read_blueprint
from theater_bus.client.results import ActorSummary, HostInfo, HostSummary, Whereabouts, parsed
from theater_bus.client.session import DEFAULT_TIMEOUT_S, Session, check_timeout
from theater_bus.client.unset import UNSET, Unset
from theater_bus.core.chain.events import Event
from theater_bus.core.wire.identity import check_name
from theater_bus.core.wire.request import encode_request
from theater_bus.core.wire.response import decode_reply
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import ActorError, ChannelClosed, ConnectionLost, OperationTimeout, SpawnRefused
from theater_bus.telemetry import Telemetry

if TYPE_CHECKING:
    from theater_bus.capability import KeyValue, Objects

__all__ = ["Begin", "Theater"]

Begin: TypeAlias = Literal["new", "continue", "fresh"]
"""How a spawn begins whose id has a chain that ended: not at all, from its last state, from the initial one."""

PING_S: Final = 0.25
PING_STALL_S: Final = 0.05
"""Hosts answer a ping within a few milliseconds of one another; after this much silence nobody else is expected."""
PAGE: Final = 500


class Theater:
    """Actors and hosts of one namespace, over one connection. Made by `connect`; ended by `close` or `async with`."""

    def __init__(self, session: Session, own_telemetry: bool) -> None:
        self._session = session
        self._own_telemetry = own_telemetry

    @classmethod
    async def open(
        cls,
        settings: BusSettings,
        namespace: str,
        telemetry: Telemetry | None = None,
        caller: str | None = None,
    ) -> Self:
        """As `connect`, which see; this is what it awaits."""
        subjects = Subjects(namespace)
        if caller is not None:
            check_name(caller, "caller")
        given = telemetry
        telemetry = Telemetry() if given is None else given
        connection = await Connection.open(settings, instrumentation=telemetry)
        if given is None:
            await telemetry.start()
        return cls(Session(connection, subjects, telemetry, caller), given is None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Theater(namespace={self.namespace!r}, server={self._session.connection.server.url!r})"

    @property
    def namespace(self) -> str:
        """The namespace."""
        return self._session.subjects.namespace

    @property
    def connected(self) -> bool:
        """Whether messages travel now. A lost connection comes back by itself."""
        return self._session.connection.connected

    async def close(self) -> None:
        """End the connection. Calls that wait end with `OutcomeUnknown`. Closing twice is fine."""
        await self._session.close()
        if self._own_telemetry:
            self._own_telemetry = False
            await self._session.telemetry.close()

    async def capability_buckets(self, capability: str) -> tuple[KeyValue, Objects]:
        """What the actors' capabilities of this name keep on NATS in this namespace: for whoever looks after it.

        Raises `Unavailable` where there is no JetStream, or this user may not use it.
        """
        from theater_bus.bus.named import named_key_value, named_objects

        connection, name = self._session.connection, self._session.subjects.capability_bucket(capability)
        return await named_key_value(connection, name, create=True), named_objects(connection, name)

    # -- actors --------------------------------------------------------------------------------------------------------

    def actor(self, actor_id: str) -> ActorHandle:
        """The handle of an actor. Nobody is asked, so it need not exist. Raises `ConfigurationError` for no id."""
        return ActorHandle(self._session, actor_id)

    async def spawn(
        self,
        manifest: Path | str | Mapping[str, Any],
        *,
        package: bytes | Path | str | None = None,
        id: str | None = None,
        state: Any | Unset = UNSET,
        host: str | None = None,
        begin: Begin = "new",
        variables: Mapping[str, Any] | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> ActorHandle:
        """Start an actor; returns its handle when it answers.

        `manifest` is a path, TOML text, or its tables; `package` the module or its path (default: what the manifest
        names, relative to its folder), which travels through the object store where the host does not have it. `id` and
        `state` win over the manifest's. Without `host` the one with the fewest actors is chosen. `begin` says what to
        do with an id whose chain ended and is kept: refuse (`new`), go on from its last state (`continue`), or from the
        initial one (`fresh`). `variables` are what `${var.NAME}` in the manifest stands for; `${env.NAME}` is that of
        this process.

        Raises `SpawnRefused` with what to change, `ActorExists`, what `init` ended with, and `ChannelClosed` when no
        host answers.
        """
        check_timeout(timeout)
        blueprint = await read_blueprint(manifest, package, variables)
        fields: dict[str, Any] = {"manifest": blueprint.document}
        if blueprint.digest is not None:
            fields["package"] = f"sha256:{blueprint.digest.hex()}"
        if id is not None:
            fields["id"] = check_name(id, "id")
        if state is not UNSET:
            fields["state"] = state
        if begin != "new":
            fields[begin] = True
        try:
            async with asyncio.timeout(timeout):
                host = host or await self._least_loaded()
                answer = await self._spawn_at(host, fields, blueprint, timeout)
        except TimeoutError:
            raise OperationTimeout(
                f"the actor was not ready within {timeout:g} s", ran="unknown", limit_ms=round(timeout * 1000)
            ) from None
        is_memory = blueprint.manifest.chain.durability == "memory"
        return ActorHandle(self._session, parsed(lambda wire: str(wire["id"]), answer, "spawn"), is_memory=is_memory)

    async def where(self, actor_id: str, *, timeout: float = 0.25) -> Whereabouts | None:
        """The host that runs an actor now; None when no host says within `timeout` that it does."""
        session = self._session
        body = encode_request({"id": check_name(actor_id)}, timeout_ms=round(timeout * 1000))
        try:
            message = await session.connection.request_one(session.subjects.fleet("where"), body, timeout_s=timeout)
        except (OperationTimeout, ChannelClosed):
            return None
        except ConnectionLost as error:
            raise _closed(error) from error
        return parsed(Whereabouts.from_wire, decode_reply(message.data, message.headers).value, "fleet.where")

    async def actors(self, *, host: str | None = None, timeout: float = DEFAULT_TIMEOUT_S) -> list[ActorSummary]:
        """The actors of all hosts, or of one, sorted by id."""
        hosts = [host] if host is not None else [one.id for one in await self.hosts()]
        pages = await asyncio.gather(*(self._actors_of(one, timeout) for one in hosts))
        return sorted((actor for page in pages for actor in page), key=attrgetter("id", "host"))

    async def watch(self, actor_id: str) -> AsyncIterator[Event]:
        """The events of an actor from now on, live, until its exit. `ActorHandle.get_chain` gives earlier ones too."""
        async for event in ChainView(self._session, self.actor(actor_id).id, None).follow():
            yield event

    # -- hosts ---------------------------------------------------------------------------------------------------------

    async def hosts(self, *, timeout: float = PING_S) -> list[HostSummary]:
        """The hosts that answer within `timeout`, sorted by id."""
        session = self._session
        body = encode_request({}, timeout_ms=round(timeout * 1000))
        found: list[HostSummary] = []
        try:
            async for message in session.connection.request_many(
                session.subjects.fleet("ping"), body, timeout_s=timeout, stall_s=PING_STALL_S
            ):
                value = decode_reply(message.data, message.headers).value
                found.append(parsed(HostSummary.from_wire, value, "fleet.ping"))
        except ConnectionLost as error:
            raise _closed(error) from error
        return sorted(found, key=attrgetter("id"))

    async def host_info(self, host: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> HostInfo:
        """What a host is and has. Raises `ChannelClosed` when it does not answer."""
        return parsed(HostInfo.from_wire, await self._ask_host(host, "info", {}, timeout), "host.info")

    async def drain(
        self, host: str, *, wait: bool = True, grace: float | None = None, timeout: float = DEFAULT_TIMEOUT_S
    ) -> int:
        """Have a host take no new actors and shut down all that run there; returns how many were running."""
        fields: dict[str, Any] = {"wait": wait}
        if grace is not None:
            fields["grace_ms"] = round(grace * 1000)
        answer = await self._ask_host(host, "drain", fields, timeout)
        return parsed(lambda wire: int(wire["actors"]), answer, "host.drain")

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _least_loaded(self) -> str:
        hosts = await self.hosts()
        if not hosts:
            raise ChannelClosed(
                f"no host answers in namespace {self.namespace!r}. Fix: start one (`theater-bus serve`), or check the "
                "namespace and the address of the server"
            )
        return min(hosts, key=attrgetter("actors", "id")).id

    async def _spawn_at(self, host: str, fields: dict[str, Any], blueprint: Blueprint, timeout_s: float) -> Any:
        objects = self._session.objects
        if blueprint.wasm is not None and objects.available:
            await objects.put(blueprint.wasm)
        try:
            return await self._ask_host(host, "spawn", fields, timeout_s)
        except SpawnRefused as error:
            if "package" not in error.details or objects.available or blueprint.wasm is None:
                raise
            raise SpawnRefused(
                f"host {host!r} does not have the package, and this NATS server has no JetStream to send it through. "
                "Fix: start nats-server with JetStream (-js), or copy the module into the host's packages directory",
                **{key: value for key, value in error.details.items() if key != "ran"},
            ) from error

    async def _actors_of(self, host: str, timeout_s: float) -> list[ActorSummary]:
        found: list[ActorSummary] = []
        after: str | None = ""
        while after is not None:
            answer = await self._ask_host(host, "actors", {"after": after, "limit": PAGE}, timeout_s)
            page, after = parsed(lambda wire: (wire["actors"], wire["next"]), answer, "host.actors")
            found.extend(ActorSummary(one["id"], one["name"], one["phase"], host) for one in page)
        return found

    async def _ask_host(self, host: str, verb: str, fields: dict[str, Any], timeout_s: float) -> Any:
        check_timeout(timeout_s)
        session = self._session
        body = encode_request(fields, timeout_ms=round(timeout_s * 1000))
        try:
            message = await session.connection.request_one(session.subjects.host(host, verb), body, timeout_s=timeout_s)
        except ChannelClosed as error:
            raise ChannelClosed(
                f"host {host!r} does not answer in namespace {self.namespace!r}. "
                "Fix: check its id (`theater-bus ps --hosts`)"
            ) from error
        except ConnectionLost as error:
            raise _closed(error) from error
        return decode_reply(message.data, message.headers).value


def _closed(error: ConnectionLost) -> ActorError:
    return ChannelClosed(f"not connected, so nothing was sent: {error}")
