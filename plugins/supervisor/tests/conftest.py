"""The fixtures that theater_bus offers to the authors of plugins, and waiting for what a test cannot await."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from theater_bus.testing.fixtures import start_harness, start_host, theater_server

__all__ = ["start_harness", "start_host", "theater_server"]


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`await eventually(holds)`: wait until `holds()` is true; fails when it does not become so."""

    async def wait(holds: Callable[[], Any], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110  what it waits for belongs to others
                await asyncio.sleep(0.002)

    return wait
