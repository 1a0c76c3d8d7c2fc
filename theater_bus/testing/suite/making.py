"""Which tasks a capability has made: those that its code began, also where what they run is a library's.

Invariant: a task is the capability's where, from the place that made it outwards, its code comes before the host's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final
from weakref import WeakSet

import theater_bus
from theater_bus.capability import Capability
from theater_bus.testing.suite.watched import places_of

__all__ = ["tasks_made_by"]

HOST: Final = str(Path(theater_bus.__file__).parent) + os.sep


@contextmanager
def tasks_made_by(cls: type[Capability]) -> Iterator[WeakSet[asyncio.Task[Any]]]:
    """Note the tasks that the capability's package begins on the running loop until the block ends."""
    loop, made, places = asyncio.get_running_loop(), WeakSet[asyncio.Task[Any]](), places_of(cls)
    before = loop.get_task_factory()

    def make(loop: Any, coroutine: Any, **options: Any) -> asyncio.Future[Any]:
        if before is not None:
            task = before(loop, coroutine, **options)
        else:
            task = asyncio.Task(coroutine, loop=loop, **options)
        if isinstance(task, asyncio.Task) and _is_begun_by(places):
            made.add(task)
        return task

    loop.set_task_factory(make)
    try:
        yield made
    finally:
        loop.set_task_factory(before)


def _is_begun_by(places: tuple[str, ...]) -> bool:
    """Whether the code that makes a task just now is in one of these places."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(places):
            return True
        if file.startswith(HOST):
            return False
        frame = frame.f_back
    return False
