"""The subscriptions of a connection: made, contained, restored on a new client, drained."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client

from theater_bus.bus.message import Handler
from theater_bus.bus.stats import ConnectionStats
from theater_bus.bus.subscription import LightSubscription, QueuedSubscription, Subscription
from theater_bus.core.instrumentation import Instrumentation

__all__ = ["Roster"]

log = logging.getLogger("theater_bus.bus")

_RESTORE_CHUNK = 500


class Roster:
    """Holds every subscription until it is ended, whatever becomes of the client below."""

    def __init__(self, light: bool, stats: ConnectionStats, instrumentation: Instrumentation) -> None:
        self._kind = LightSubscription if light else QueuedSubscription
        self._stats = stats
        self._instrumentation = instrumentation
        self._subscriptions: dict[Subscription, None] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._denied: set[str] = set()

    def add(self, client: Client, subject: str, handler: Handler, queue: str) -> Subscription:
        """A new subscription; a closed client leaves its announcement to `restore`."""
        subscription = self._kind(self, subject, handler, queue)
        self._subscriptions[subscription] = None
        if not client.is_closed:
            subscription.attach(client)
        return subscription

    async def restore(self, client: Client) -> None:
        """Announce every subscription on a client that knows none."""
        for number, subscription in enumerate(list(self._subscriptions), 1):
            if subscription in self._subscriptions and not subscription.attached_to(client):
                subscription.attach(client)
            if number % _RESTORE_CHUNK == 0:
                await asyncio.sleep(0)

    async def drain(self, spare: Subscription, round_trip: Callable[[], Awaitable[None]]) -> None:
        """End all but `spare`; what is on its way is delivered first. Cut short, it ends them at once."""
        ending = [subscription for subscription in self._subscriptions if subscription is not spare]
        try:
            for subscription in ending:
                subscription.withdraw()
            if ending:
                await round_trip()
            for subscription in ending:
                await subscription.settle()
        finally:
            for subscription in ending:
                subscription.unsubscribe()

    async def close(self) -> None:
        """Forget all; the client is closed."""
        self._subscriptions.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def deny(self, subject: str) -> None:
        """NATS refused a subscription; `subject` is in lower case, as nats-py reports it."""
        self._denied.add(subject)

    def denies(self, subject: str) -> bool:
        """Whether NATS refused this subscription."""
        return bool(self._denied) and subject.lower() in self._denied

    def refused(self) -> list[str]:
        """The subjects of the subscriptions that NATS refused on this connection."""
        if not self._denied:
            return []
        return sorted(s.subject for s in self._subscriptions if s.subject.lower() in self._denied)

    def forgive(self) -> None:
        """Forget refusals: the next connection may have other permissions."""
        self._denied.clear()

    def released(self, subscription: Subscription) -> None:
        """A subscription has ended."""
        self._subscriptions.pop(subscription, None)

    def handler_failed(self, subscription: Subscription, error: BaseException) -> None:
        """A handler raised; the reader goes on."""
        self._stats.handler_failures += 1
        self._instrumentation.event("bus.handler_failed", subject=subscription.subject, error=type(error).__name__)
        log.error("the handler of %s failed", subscription.subject, exc_info=error)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Own a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a subscription could not be announced or ended: %s", error)
