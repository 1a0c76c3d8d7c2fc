"""What bus tests look at: collected messages, and what was reported to the instrumentation."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from theater_bus.bus import Message


class Inbox:
    """A handler that collects messages and lets a test wait for a number of them."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._changed = asyncio.Event()

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()

    async def wait(self, count: int) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.messages


class Recorder:
    """An Instrumentation that remembers."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.events: list[tuple[str, dict[str, object]]] = []

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        self.counts[name] += amount
        for key, value in attributes.items():
            self.counts[f"{name} {key}={value}"] += amount

    def record(self, name: str, value: float, **attributes: str) -> None:
        self.counts[name] += 1

    def event(self, name: str, **fields: object) -> None:
        self.events.append((name, fields))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def new_inbox() -> Callable[[], Inbox]:
    return Inbox
