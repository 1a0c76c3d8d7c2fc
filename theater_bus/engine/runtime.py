"""What all instances of one engine share on its event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from theater_bus.core.instrumentation import Instrumentation
from theater_bus.engine.eager import Carriers
from theater_bus.engine.ffi import Frame
from theater_bus.engine.pool import Pool
from theater_bus.engine.settings import EngineSettings
from theater_bus.engine.ticker import make_ticker
from theater_bus.engine.turn import Turn

if TYPE_CHECKING:
    from theater_bus.engine.component.instance import ComponentInstance
    from theater_bus.engine.flight import Flight
    from theater_bus.engine.instance import Instance

__all__ = ["Runtime"]


class Runtime:
    """Loop, clock, queue, pool, and the frames that calls borrow.

    `instances` finds the instance behind a store's context, for callbacks that C makes; `maps` counts their kernel
    maps. `frames` are the free ones: a call takes one and gives it back when its future is deleted, so that as many
    exist as calls were in flight at once. `flights` are the calls that did not end at once and are not over.
    """

    __slots__ = (
        "carriers",
        "flights",
        "frames",
        "instances",
        "instrumentation",
        "loop",
        "maps",
        "on_idle",
        "pool",
        "settings",
        "slice_ns",
        "ticker",
        "turn",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, engine: int, settings: EngineSettings, instrumentation: Instrumentation
    ) -> None:
        self.loop = loop
        self.settings = settings
        self.instrumentation = instrumentation
        self.slice_ns = int(settings.slice_ms * 1_000_000)
        window_ns = int(settings.turn_ms * 500_000)
        self.ticker = make_ticker(engine, window_ns, self.slice_ns, settings.kernel_timer)
        self.turn = Turn(loop, window_ns, self.ticker)
        self.pool = Pool(loop, settings.promoted_threads, self.ticker)
        self.carriers = Carriers(loop)
        self.frames: list[Frame] = []
        self.instances: dict[int, Instance | ComponentInstance] = {}
        self.flights: set[Flight] = set()
        self.maps = 0
        self.on_idle: asyncio.Future[None] | None = None

    def landed(self, flight: Flight) -> None:
        """A call has ended."""
        self.flights.discard(flight)
        if not self.flights and self.on_idle is not None and not self.on_idle.done():
            self.on_idle.set_result(None)

    async def close(self) -> None:
        """End every call, free every instance, stop the threads."""
        for instance in list(self.instances.values()):
            instance.close()
        while self.flights:
            waiting = self.loop.create_future()
            self.on_idle = waiting
            await waiting
        self.pool.close()
        self.ticker.close()
        self.carriers.close()
        for instance in list(self.instances.values()):
            instance.close()
