"""The `theater:simple/supervisor` capability: actors that spawn, watch, restart and stop others."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_supervisor.earlier import Supervisor0312
from theater_bus_supervisor.supervisor import Supervisor

__all__ = ["Supervisor", "Supervisor0312"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `supervisor`."""
    return [Supervisor]
