"""Calling functions of WASI without a guest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.testing import capability_harness
from theater_bus.testing.fixtures import eventually
from theater_bus_wasi import Wasi

__all__ = ["eventually", "refusal", "refused", "wasi"]

Call = Callable[..., Any]


@asynccontextmanager
async def wasi(**settings: Any) -> AsyncIterator[tuple[Wasi, Call]]:
    """The capability with these settings, and a way to call its functions by name."""
    async with capability_harness(Wasi, settings) as harness:
        instance = harness.instance
        assert isinstance(instance, Wasi)
        functions = instance.functions()
        yield instance, lambda name, *args: functions[f"wasi:{name}"](*args)


def refusal(call: Callable[[], Any]) -> Any:
    with pytest.raises(CapabilityError) as caught:
        call()
    return caught.value.value


async def refused(call: Any) -> Any:
    with pytest.raises(CapabilityError) as caught:
        await call
    return caught.value.value
