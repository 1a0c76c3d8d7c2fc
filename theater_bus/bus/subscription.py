"""Subscriptions: a light one that nats-py's reader calls directly, and one made of its public API only.

nats-py gives every subscription a task and a queue (4.9 KB, 41 µs). A light subscription takes the place of nats-py's
object in its table and is its own queue: `put_nowait` is the handler. It relies on the fields that `Client` of
nats-py 2.16 touches (`_process_msg`, the replay after a reconnect, `_close`, `drain`), which is why that version is
pinned; `BusSettings.light_subscriptions = False` does without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from nats.errors import Error

from theater_bus.bus.message import Handler, Message

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.subscription import Subscription as NatsSubscription

__all__ = ["LightSubscription", "QueuedSubscription", "Subscription", "step", "step_now"]


class Owner(Protocol):
    """What a subscription needs of the connection that holds it."""

    def released(self, subscription: Subscription) -> None:
        """The subscription has ended."""

    def handler_failed(self, subscription: Subscription, error: BaseException) -> None:
        """A handler raised; called in the reader, must not raise."""

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Own a task until it is done."""


class Subscription:
    """Interest in a subject. It survives reconnects and rebuilds until `unsubscribe`."""

    __slots__ = ("_handler", "_owner", "queue", "subject")

    def __init__(self, owner: Owner, subject: str, handler: Handler, queue: str) -> None:
        self._owner = owner
        self._handler = handler
        self.subject = subject
        self.queue = queue

    def unsubscribe(self) -> None:
        """End it: messages that are still on their way are dropped. Doing it twice is fine."""
        self._owner.released(self)
        self.detach()

    def attach(self, client: Client) -> None:
        """Announce the interest on this client; bytes go out in order with later publishes."""
        raise TypeError("use LightSubscription or QueuedSubscription")

    def detach(self) -> None:
        """Withdraw the interest and stop delivering."""
        raise TypeError("use LightSubscription or QueuedSubscription")

    def withdraw(self) -> None:
        """Withdraw the interest, but deliver what is on its way."""
        raise TypeError("use LightSubscription or QueuedSubscription")

    def attached_to(self, client: Client) -> bool:
        """Whether the interest is announced on this client."""
        raise TypeError("use LightSubscription or QueuedSubscription")

    async def settle(self) -> None:
        """Return when everything that has arrived has been handed to the handler."""

    def deliver(self, message: Message) -> None:
        """Hand the message to the handler and contain what it raises."""
        try:
            self._handler(message)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            # Anything that escapes ends nats-py's reader for all subscriptions of the connection.
            self._owner.handler_failed(self, error)


class LightSubscription(Subscription):
    """Delivers in nats-py's reader: no task, no queue, about 0.3 KB."""

    __slots__ = ("_conn", "_id", "_pending_queue", "_pending_size", "_received")

    _cb: ClassVar[None] = None
    _closed: ClassVar[bool] = False
    _future: ClassVar[None] = None
    _jsi: ClassVar[None] = None
    _max_msgs: ClassVar[int] = 0
    _message_iterator: ClassVar[None] = None
    _pending_bytes_limit: ClassVar[int] = 0
    _pending_next_msgs_calls: ClassVar[None] = None
    _wait_for_msgs_task: ClassVar[None] = None

    def __init__(self, owner: Owner, subject: str, handler: Handler, queue: str) -> None:
        super().__init__(owner, subject, handler, queue)
        self._conn: Client | None = None
        self._id = 0
        self._received = 0
        self._pending_size = 0
        self._pending_queue: LightSubscription | None = None

    @property
    def _subject(self) -> str:
        return self.subject

    @property
    def _queue(self) -> str:
        return self.queue

    # Where nats-py would queue the message.
    put_nowait = Subscription.deliver

    def attach(self, client: Client) -> None:
        """Announce the interest on this client."""
        client._sid += 1
        self._conn, self._id, self._pending_queue = client, client._sid, self
        client._subs[self._id] = self  # type: ignore[assignment]
        _send(client, f"SUB {self.subject} {self.queue} {self._id}\r\n".encode())

    def detach(self) -> None:
        """Withdraw the interest and stop delivering."""
        self.withdraw()
        if self._conn is not None:
            self._conn._remove_sub(self._id)
        self._conn = self._pending_queue = None

    def withdraw(self) -> None:
        """Withdraw the interest, but deliver what is on its way."""
        if self._conn is not None and not self._conn.is_closed:
            _send(self._conn, f"UNSUB {self._id} \r\n".encode())

    def attached_to(self, client: Client) -> bool:
        """Whether the interest is announced on this client."""
        return self._conn is client

    async def _drain(self) -> None:
        self.detach()


class QueuedSubscription(Subscription):
    """Delivers through nats-py's own queue and task per subscription."""

    __slots__ = ("_attached", "_client", "_draining")

    def __init__(self, owner: Owner, subject: str, handler: Handler, queue: str) -> None:
        super().__init__(owner, subject, handler, queue)
        self._attached: asyncio.Future[NatsSubscription] | None = None
        self._client: Client | None = None
        self._draining: asyncio.Task[None] | None = None

    def attach(self, client: Client) -> None:
        """Announce the interest on this client."""
        self._client = client
        self._attached = step(client.subscribe(self.subject, self.queue, cb=self._receive), self._owner.keep)

    def detach(self) -> None:
        """Withdraw the interest and stop delivering."""
        if self._draining is not None:
            self._draining.cancel()
        elif self._attached is not None and self._attached.done():
            self._end(self._attached)
        elif self._attached is not None:
            self._attached.add_done_callback(self._end)
        self._attached = self._client = None

    def withdraw(self) -> None:
        """Withdraw the interest, but deliver what is on its way."""
        if self._draining is None and self._attached is not None:
            self._draining = asyncio.get_running_loop().create_task(self._drain(self._attached))
            self._owner.keep(self._draining)

    def attached_to(self, client: Client) -> bool:
        """Whether the interest is announced on this client."""
        return self._client is client

    async def settle(self) -> None:
        """Return when everything that has arrived has been handed to the handler."""
        if self._draining is not None:
            await asyncio.wait({self._draining})

    async def _drain(self, attached: asyncio.Future[NatsSubscription]) -> None:
        try:
            await (await attached).drain()  # type: ignore[no-untyped-call]
        except (Error, OSError):
            # The connection is going or gone: nothing more can arrive.
            return

    def _end(self, attached: asyncio.Future[NatsSubscription]) -> None:
        client = self._client_of(attached)
        if client is not None and not client.is_closed:
            step(attached.result().unsubscribe(), self._owner.keep)

    @staticmethod
    def _client_of(attached: asyncio.Future[NatsSubscription]) -> Client | None:
        if attached.cancelled() or attached.exception() is not None:
            return None
        client: Client = attached.result()._conn
        return client

    async def _receive(self, message: Message) -> None:
        self.deliver(message)


def _send(client: Client, command: bytes) -> None:
    """Append a protocol line to what is waiting to be written. Neither coroutine can suspend here: the pending limit
    given to nats-py is out of reach, and the flusher is only woken when its queue is empty.
    """
    step_now(client._send_command(command))
    if client._flush_queue is not None and client._flush_queue.empty():
        step_now(client._flush_pending())


def step_now(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine of nats-py that has done its work by the time it could first wait, and drop the rest."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()


def step(coroutine: Coroutine[Any, Any, Any], keep: Callable[[asyncio.Task[Any]], None]) -> asyncio.Future[Any]:
    """Run a coroutine as far as it goes, here and now; the rest, if any, in a task that `keep` owns."""
    loop = asyncio.get_running_loop()
    try:
        waiting = coroutine.send(None)
    except StopIteration as done:
        future = loop.create_future()
        future.set_result(done.value)
        return future
    task = loop.create_task(_rest(_Resumed(coroutine, waiting)))
    keep(task)
    return task


async def _rest(resumed: _Resumed) -> Any:
    return await resumed


class _Resumed:
    """The rest of a coroutine that has been stepped once and waits for `waiting`."""

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waiting: Any) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            yield self._waiting
        except BaseException:
            self._coroutine.close()
            raise
        return (yield from self._coroutine.__await__())
