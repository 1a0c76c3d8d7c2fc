"""The two connections of a host: a flood of operations must not delay what keeps the host alive."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Self

from theater_bus.bus.connection import Connection
from theater_bus.bus.settings import BusSettings
from theater_bus.core.instrumentation import SILENT, Instrumentation

__all__ = ["Bus"]


class Bus:
    """`operations` carries the operations lanes; `services` carries info, control, nested calls and JetStream.

    A socket is first in, first out: whatever stands behind a megabyte of operations waits for it. Source: wire
    protocol, "Subjects".
    """

    def __init__(self, operations: Connection, services: Connection) -> None:
        self.operations = operations
        self.services = services

    @classmethod
    async def open(cls, settings: BusSettings, *, instrumentation: Instrumentation = SILENT) -> Self:
        """Connect both. Raises ConnectionLost when either cannot be made; none is left behind."""
        operations = await Connection.open(
            replace(settings, name=f"{settings.name} operations"), instrumentation=instrumentation
        )
        try:
            services = await Connection.open(
                replace(settings, name=f"{settings.name} services"), instrumentation=instrumentation
            )
        except BaseException:
            await operations.close()
            raise
        return cls(operations, services)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether both travel now."""
        return self.operations.connected and self.services.connected

    async def ready(self, timeout_s: float = 5.0) -> None:
        """Return when the server has processed every subscription of both."""
        await asyncio.gather(self.operations.ready(timeout_s), self.services.ready(timeout_s))

    async def drain(self, timeout_s: float | None = None) -> None:
        """Leave in order: operations first, while `services` still carries info, control and nested calls.

        A host whose operations still run calls `operations.drain_subscriptions()` and waits for them before this.
        """
        await self.operations.drain(timeout_s)
        await self.services.drain(timeout_s)

    async def close(self) -> None:
        """Close both now."""
        await asyncio.gather(self.operations.close(), self.services.close())
