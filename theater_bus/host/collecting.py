"""How often a process whose main job is a host looks for circles of garbage.

CPython looks after every 700 objects more than were freed. A host makes circles hardly ever, but a trace that waits for
its exporter is thousands of objects, all of them looked at again and again: a tenth of what a sampled operation costs.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["EVERY_OBJECTS", "collecting_rarely"]

EVERY_OBJECTS = 20_000
"""More than the spans that wait at a time; as garbage, a few megabytes."""


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Look after every `EVERY_OBJECTS`, unless the process does so more rarely already, and then as before again."""
    before = gc.get_threshold()
    if 0 < before[0] < EVERY_OBJECTS:
        gc.set_threshold(EVERY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
