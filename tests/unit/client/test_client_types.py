"""Type checkers see what the client offers: a wrong argument is an error where it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SNIPPET = """
from typing import Protocol, reveal_type

from theater_bus import connect, connect_sync


class Counter(Protocol):
    async def increment(self, by: int) -> int: ...


class Blocking(Protocol):
    def increment(self, by: int) -> int: ...


async def main() -> None:
    async with connect() as theater:
        actor = theater.actor("c")
        counter = actor.bind(Counter)
        total: int = await counter.increment(5)
        await counter.increment("five")  # wrong: arg-type
        await counter.incremet(5)  # wrong: attr-defined
        text: str = await counter.increment(5)  # wrong: assignment
        await actor.call_function(5)  # wrong: arg-type
        phase: str = (await actor.get_status()).phase
        await actor.get_status(timeout="long")  # wrong: arg-type
        async for event in actor.get_chain().follow():
            number: int = event.seq


with connect_sync() as blocking:
    handle = blocking.actor("c")
    handle.call_function(5)  # wrong: arg-type
    name: int = handle.get_status().phase  # wrong: assignment
    answer: int = handle.bind(Blocking).increment(5)
    handle.bind(Blocking).increment("five")  # wrong: arg-type
    for event in handle.get_chain():
        kind: str = event.type
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_mypy_finds_every_wrong_use_and_no_other(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET, "utf-8")
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(root / ".mypy_cache")]
    done = subprocess.run([*command, str(snippet)], cwd=root, capture_output=True, text=True, check=False)
    # Not the whole path: mypy repeats what it has cached of an earlier run, with the path of that time.
    found = [(int(line), code) for line, code in re.findall(r"snippet\.py:(\d+): error: .*\[([\w-]+)\]", done.stdout)]
    lines = SNIPPET.splitlines()
    wanted = [(n, line.rpartition("# wrong: ")[2]) for n, line in enumerate(lines, 1) if "# wrong: " in line]
    assert sorted(found) == wanted, done.stdout + done.stderr
