"""The `wisp:assembler/runtime` capability."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_assembler.assembler import Assembler

__all__ = ["Assembler"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `assembler`."""
    return [Assembler]
