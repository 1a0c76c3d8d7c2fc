"""What a large body keeps the event loop from: read, hashed and written, on the loop and in a thread beside it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from theater_bus.core.wire.request import decode_request, encode_request
from theater_bus.core.wire.strict import write_json

Work = Callable[[], Any]


async def run(console: Console, sizes_mib: tuple[int, ...], rounds: int) -> None:
    """Print the milliseconds of each piece of work, and the longest time that it held up the loop from a thread."""
    table = Table(title="large bodies, milliseconds (the fastest round)", title_justify="left")
    table.add_column("work")
    for heading in ("MiB", "on the loop", "in a thread, the loop waits"):
        table.add_column(heading, justify="right")
    for size_mib in sizes_mib:
        for name, work in _works((size_mib << 20) - 64).items():
            alone = min([_taken(work) for _ in range(rounds)])
            beside = min([await _held_up(work) for _ in range(rounds)])
            table.add_row(name, f"{size_mib}", f"{alone * 1e3:.1f}", f"{beside * 1e3:.1f}")
    console.print(table)


def _works(size: int) -> Mapping[str, Work]:
    text, data = ["x" * (size - 4)], os.urandom(size)
    numbers = [[1.5] * (size // 5 - 2)]  # "1.5, " in JSON, nine bytes in msgpack
    fewer = [[1.5] * (size // 9 - 8)]
    bodies = {"text": text, "numbers": numbers}
    found: dict[str, Work] = {"hash": lambda: hashlib.sha256(data).digest()}
    for name, params in bodies.items():
        body = json.dumps(params).encode()
        found[f"read JSON, {name}"] = lambda body=body: decode_request(body)  # type: ignore[misc]
        found[f"write JSON, {name}"] = lambda params=params: write_json(params)  # type: ignore[misc]
    for name, params in {"text": text, "numbers": fewer}.items():
        body = encode_request(params, timeout_ms=1)  # type: ignore[arg-type]
        found[f"read msgpack, {name}"] = lambda body=body: decode_request(body)  # type: ignore[misc]
    return found


def _taken(work: Work) -> float:
    before = time.thread_time()
    work()
    return time.thread_time() - before


async def _held_up(work: Work) -> float:
    """The longest turn of a loop that has nothing to do but to look at the time, while a thread works."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest
