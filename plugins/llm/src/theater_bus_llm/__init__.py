"""The `theater:bus/llm` capability: chat completions of OpenAI-compatible endpoints, with budgets and approval."""

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl
from theater_bus_llm.llm import Llm

__all__ = ["Llm"]

requires_api = 1


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `llm`."""
    return [Llm]
