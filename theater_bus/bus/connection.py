"""One connection to NATS: publish, subscribe, request; it comes back by itself with everything that was subscribed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Self

from nats.aio.client import Client
from nats.errors import Error
from nats.nuid import NUID

from theater_bus.bus.failure import BusFailure, as_error, violation
from theater_bus.bus.framing import frame, header_block
from theater_bus.bus.lifeline import ConnectionEvent, Lifeline, Passenger
from theater_bus.bus.message import Handler, Message, OnReply, Outcome
from theater_bus.bus.refusal import MAX_SUBJECTS, Refusals
from theater_bus.bus.request import ReplyMux, RequestToken
from theater_bus.bus.roster import Roster
from theater_bus.bus.settings import BusSettings
from theater_bus.bus.stats import ConnectionStats
from theater_bus.bus.subscription import Subscription, step_now
from theater_bus.core.instrumentation import SILENT, Instrumentation
from theater_bus.errors import ConnectionLost, PermissionDenied

__all__ = ["Connection", "ConnectionEvent", "ServerInfo"]

log = logging.getLogger("theater_bus.bus")

_CONNECTED: Final = Client.CONNECTED


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server at the other end, as it introduced itself."""

    url: str
    version: str
    client_id: int
    max_payload: int
    jetstream: bool


class Connection:
    """Publishes, subscribes, requests. Made by `Connection.open`; ended by `drain` or `close`.

    Everything is called on the event loop that opened it. Methods that are not `async` never wait: what cannot be done
    at once is refused with an error that says so.
    """

    def __init__(self, settings: BusSettings, instrumentation: Instrumentation) -> None:
        self.settings = settings
        self.stats = ConnectionStats()
        self._instrumentation = instrumentation
        self._client: Client
        self._max_payload = 0
        self._max_pending = settings.pending_bytes
        self._observers: dict[Callable[[ConnectionEvent], None], None] = {}
        self._refusals = Refusals(settings, self.stats)
        self._roster = Roster(settings.light_subscriptions, self.stats, instrumentation)
        passenger = Passenger(self._lost, self._back, self._server_error, self._told)
        self._lifeline = Lifeline(settings, instrumentation, passenger)
        base = f"{settings.inbox_prefix}.{NUID().next().decode()}"
        self._mux = ReplyMux(base, asyncio.get_running_loop(), self._late_reply)
        self._inbox: Subscription
        self._echo_denied = False
        self._echoing = asyncio.Lock()
        self._next_echo: asyncio.Task[Outcome] | None = None

    @classmethod
    async def open(cls, settings: BusSettings, *, instrumentation: Instrumentation = SILENT) -> Self:
        """Connect. Raises ConnectionLost, at once and with the reason, when no server takes us."""
        connection = cls(settings, instrumentation)
        connection._adopt(await connection._lifeline.open())
        connection._inbox = connection.subscribe(connection._mux.pattern, connection._mux.receive)
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether messages travel now."""
        return bool(self._client.is_connected)

    @property
    def max_payload(self) -> int:
        """What the server accepts in one message, body and headers together, in bytes."""
        return self._max_payload

    @property
    def pending_requests(self) -> int:
        """Requests that wait for their outcome."""
        return len(self._mux)

    @property
    def server(self) -> ServerInfo:
        """The server at the other end."""
        client = self._client
        url = client.connected_url
        info = client._server_info
        return ServerInfo(
            url=f"{url.scheme}://{url.hostname}:{url.port}" if url else "",
            version=str(info.get("version", "")),
            client_id=client.client_id or 0,
            max_payload=self._max_payload,
            jetstream=bool(info.get("jetstream", False)),
        )

    def observe(self, observer: Callable[[ConnectionEvent], None]) -> Callable[[], None]:
        """Tell `observer` what happens to the connection, on the loop; returns what ends that."""
        self._observers[observer] = None
        return lambda: self._observers.pop(observer, None)

    def publish(self, subject: str, data: bytes, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Send a message; it leaves with the next turn of the loop, in order with all others.

        While reconnecting, messages wait. Raises TooLarge (body and headers against `max_payload`), Overloaded (more
        than `pending_bytes` wait), ConnectionLost (there is no client to wait in), ConfigurationError (not a subject).
        """
        block = b"" if headers is None else self._header_block(headers)
        size = len(data) + len(block)
        if size > self._max_payload:
            raise self._refusals.too_large(subject, size, self._max_payload)
        if (
            not subject
            or not (subject.isprintable() and reply.isprintable())
            or " " in subject
            or " " in reply
            or len(subject) + len(reply) > MAX_SUBJECTS
        ):
            raise self._refusals.subject(subject, reply)
        client = self._client
        if client._pending_data_size > self._max_pending:
            raise self._refusals.backlog(client._pending_data_size)
        if client._status != _CONNECTED:
            self._publish_later(client.publish(subject, data, reply, None if headers is None else dict(headers)))
            return
        # What `Client.publish` does, in a quarter of its time: this runs once for every request and every reply.
        message = frame(subject, reply, block, data)
        client._pending.append(message)
        client._pending_data_size += len(message)
        stats = client.stats
        stats["out_msgs"] += 1
        stats["out_bytes"] += len(data)
        flushes = client._flush_queue
        if flushes is not None and flushes.empty():
            step_now(client._flush_pending())

    def _publish_later(self, sending: Coroutine[Any, Any, None]) -> None:
        """There is no connection at the moment: nats-py decides whether the message may wait for one."""
        try:
            step_now(sending)
        except Error as error:
            raise self._refusals.not_connected() from error

    def _header_block(self, headers: Mapping[str, str]) -> bytes:
        try:
            return header_block(headers)
        except ValueError as error:
            raise self._refusals.header(str(error)) from error

    def subscribe(self, subject: str, handler: Handler, queue: str = "") -> Subscription:
        """Call `handler(message)` with every message, in order, on the loop; it must return at once.

        What a handler raises is counted and logged, and disturbs nobody else. With `queue`, each message goes to one
        member of that group. `ready` tells when the server knows.
        """
        if not subject or " " in subject + queue or not (subject + queue).isprintable():
            raise self._refusals.subject(subject, queue)
        if len(subject) + len(queue) > MAX_SUBJECTS:
            raise self._refusals.subject(subject, queue)
        return self._roster.add(self._client, subject, handler, queue)

    def request(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_s: float,
        on_reply: OnReply,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> RequestToken:
        """Send a request; `on_reply` gets its one outcome, a Message or a BusFailure, on the loop.

        With `stream`, every reply is handed over until `token.close()`, or until a failure, which is the last outcome;
        `token.extend` starts the deadline anew. What is known before sending raises: ConnectionLost while not connected
        (requests never wait for a reconnect), PermissionDenied when the inbox is forbidden, and what `publish` raises.
        """
        if not self._client.is_connected:
            raise self._refusals.not_connected()
        if self._roster.denies(self._mux.pattern):
            raise self._refusals.inbox_denied(self._mux.pattern)
        token = self._mux.start(subject, on_reply, timeout_s, stream)
        try:
            self.publish(subject, data, token.reply_subject, headers)
        except BaseException:
            token.close()
            raise
        return token

    def cancel(self, token: RequestToken) -> None:
        """Forget a request; its `on_reply` is not called any more. The receiver is not told."""
        token.close()

    async def request_one(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        """Send a request and wait for its reply.

        Raises what `as_error` makes of a failure (OperationTimeout, ChannelClosed, PermissionDenied, OutcomeUnknown),
        and what `request` raises.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        token = self.request(subject, data, timeout_s=timeout_s, on_reply=settle, headers=headers)
        try:
            outcome = await future
        finally:
            token.close()
        if isinstance(outcome, BusFailure):
            raise as_error(outcome, subject, timeout_s)
        return outcome

    async def request_many(
        self,
        subject: str,
        data: bytes = b"",
        *,
        timeout_s: float,
        stall_s: float | None = None,
        limit: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Message]:
        """Ask everybody who listens and yield the replies as they come.

        Ends after `timeout_s`, after `limit` replies, or when `stall_s` pass after a reply without another; nobody
        there is an empty answer. Raises what `as_error` makes of a denied or lost request.
        """
        outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        token = self.request(
            subject, data, timeout_s=timeout_s, on_reply=outcomes.put_nowait, headers=headers, stream=True
        )
        seen = 0
        try:
            while limit is None or seen < limit:
                try:
                    async with asyncio.timeout(stall_s if seen else None):
                        outcome = await outcomes.get()
                except TimeoutError:
                    return
                if isinstance(outcome, BusFailure):
                    if outcome in (BusFailure.TIMEOUT, BusFailure.NO_RESPONDERS):
                        return
                    raise as_error(outcome, subject, timeout_s)
                seen += 1
                yield outcome
        finally:
            token.close()

    async def ready(self, timeout_s: float = 5.0) -> None:
        """Return when the server has processed every subscription made before.

        An echo through our own inbox: nats-py's `flush` writes its PING ahead of a SUB that still waits. Whoever asks
        while one is on its way shares the next with the others. Raises PermissionDenied for subscriptions that NATS
        refused, ConnectionLost when no answer comes.
        """
        if not self._client.is_connected:
            raise self._refusals.not_connected()
        outcome = None if self._echo_denied else await self._shared_echo(timeout_s)
        if outcome is None or outcome is BusFailure.PERMISSION_DENIED:
            # This user may not publish to its own inbox: two round trips, the second behind all that waited.
            self._echo_denied = True
            await self.flush(timeout_s)
        elif isinstance(outcome, BusFailure):
            raise self._refusals.no_answer("an echo", outcome.value)
        if refused := self._roster.refused():
            raise self._refusals.subscriptions_denied(refused)

    async def flush(self, timeout_s: float = 5.0) -> None:
        """Return when the server has got everything published before. Raises ConnectionLost when it does not answer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.flush()
                await self._client.flush()
        except (Error, OSError) as error:
            raise self._refusals.no_answer("a flush", error) from error

    async def rtt(self, timeout_s: float = 5.0) -> float:
        """Seconds for a round trip to the server."""
        started = perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.flush()
        except (Error, OSError) as error:
            raise self._refusals.no_answer("a ping", error) from error
        return perf_counter() - started

    async def drain_subscriptions(self, timeout_s: float | None = None) -> None:
        """End all subscriptions: what is on its way is still delivered, nothing new comes. Requests go on working."""
        async with asyncio.timeout(self.settings.drain_timeout_s if timeout_s is None else timeout_s):
            await self._roster.drain(self._inbox, self._round_trip)

    async def drain(self, timeout_s: float | None = None) -> None:
        """Leave in order: subscriptions first, then the requests that wait, then what is to be written; then close.

        Bounded by `timeout_s` (default `drain_timeout_s`); whatever is left then ends as disconnected.
        """
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s if timeout_s is None else timeout_s):
                await self.drain_subscriptions()
                await self._mux.idle()
                await self._round_trip()
        except (TimeoutError, ConnectionLost) as error:
            log.warning("draining the connection to NATS was cut short: %s", str(error) or type(error).__name__)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close now. Requests that wait end as disconnected. Closing twice is fine."""
        self._refusals.closed = True
        await self._lifeline.close()
        self._mux.close()
        await self._roster.close()

    async def _shared_echo(self, timeout_s: float) -> Outcome:
        """The outcome of an echo that leaves from now on."""
        if self._next_echo is None:
            self._next_echo = asyncio.get_running_loop().create_task(self._after_the_last(timeout_s))
            self._next_echo.add_done_callback(lambda echo: echo.cancelled() or echo.exception())
        return await asyncio.shield(self._next_echo)

    async def _after_the_last(self, timeout_s: float) -> Outcome:
        async with self._echoing:
            self._next_echo = None
            return await self._echo(timeout_s)

    async def _echo(self, timeout_s: float) -> Outcome:
        echoed: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome) -> None:
            if not echoed.done():
                echoed.set_result(outcome)

        token = self._mux.start("", settle, timeout_s)
        try:
            self.publish(token.reply_subject, b"")
            return await echoed
        finally:
            token.close()

    async def _round_trip(self) -> None:
        if self.connected:
            await self.flush()

    def _lost(self) -> None:
        """The socket is gone: requests on their way get no reply that we could hear."""
        self._roster.forgive()
        self._echo_denied = False
        self._mux.fail(BusFailure.DISCONNECTED)

    async def _back(self, client: Client, rebuilt: bool) -> None:
        """There is a socket again; nats-py has restored the subscriptions, unless the client is a new one."""
        self._adopt(client)
        if rebuilt:
            await self._roster.restore(client)
            try:
                await self.ready()
            except (ConnectionLost, PermissionDenied) as error:
                log.warning("not all subscriptions are back: %s", error)

    def _told(self, event: ConnectionEvent) -> None:
        for observer in list(self._observers):
            try:
                observer(event)
            except Exception:
                log.exception("an observer of the connection failed at %s", event.value)

    def _server_error(self, error: Exception) -> None:
        """A permission violation ends what it forbids; anything else is a line in the log."""
        refused = violation(str(error))
        if refused is None:
            log.info("NATS: %s", error)
            return
        what, subject = refused
        self.stats.permission_denials += 1
        self._instrumentation.event("bus.permission_denied", subject=subject, error=str(error))
        if what == "publish":
            self._mux.fail(BusFailure.PERMISSION_DENIED, subject)
            return
        self._roster.deny(subject)
        if self._roster.denies(self._mux.pattern):
            self._mux.fail(BusFailure.PERMISSION_DENIED)

    def _late_reply(self) -> None:
        self.stats.late_replies += 1

    def _adopt(self, client: Client) -> None:
        self._client = client
        self._max_payload = client.max_payload
