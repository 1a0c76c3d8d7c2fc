"""A supervisor whose host is killed: with the next host, its children are its own again, and it hears of the others."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

from theater_bus.testing import guest

from .conftest import PATIENCE_S, Served

BOSS = guest("boss", Path(__file__).parents[2] / "plugins" / "supervisor" / "tests" / "guests")
COUNTER = guest("counter")
STRATEGY = '[capabilities.supervisor]\nstrategy = "one-for-one"\n'


def test_a_host_that_is_killed_takes_no_child_from_its_parent(tmp_path: Path) -> None:
    packages, data = tmp_path / "packages", tmp_path / "data"
    packages.mkdir()
    (packages / "counter.wasm").write_bytes(COUNTER.wasm)
    (packages / "boss.wasm").write_bytes(BOSS.wasm)
    text = BOSS.manifest_text.replace("[capabilities.supervisor]\n", STRATEGY)
    (packages / "boss.toml").write_text(f'{text}\n[chain]\ndurability = "file"\n')
    words = ("--embedded", "--port", "0", "--metrics-port", "0", "--data", str(data), "--packages", str(packages))
    first = Served(*words)
    try:
        assert first.quick("spawn", str(packages / "boss.toml"), "--id", "boss").code == 0
        for child, durability in (("boss-1", "file"), ("boss-2", "memory")):
            spawned = first.quick("call", "boss", "spawn", json.dumps(_manifest(child, durability)), "5", "null")
            assert spawned.code == 0, spawned.err
        assert first.quick("call", "boss-1", "increment", "2").out == "7\n"
    finally:
        first.end(signal.SIGKILL)
    second = Served(*words)
    try:
        _until(lambda: "boss-2" in second.quick("call", "boss", "heard").out)
        assert second.quick("call", "boss-1", "get").out == "7\n"
        heard = second.quick("call", "boss", "heard", "-o", "json").json
        assert heard == "error boss-2 internal it did not come back with its host\n"
        _until(lambda: second.quick("call", "boss", "list", "-o", "json").json == ["boss-1", "boss-2"])
        assert second.quick("call", "boss-2", "get").out == "5\n"
        assert second.quick("call", "boss", "stop", '"boss-1"').code == 0
        assert second.quick("call", "boss-1", "get").code == 3
    finally:
        second.end()


def _until(holds: Callable[[], bool]) -> None:
    """Ask until it is so; fails when it does not become so."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end


def _manifest(child: str, durability: str) -> str:
    digest = hashlib.sha256(COUNTER.wasm).hexdigest()
    chain = f'[chain]\ndurability = "{durability}"\n'
    return f'name = "counter"\nid = "{child}"\npackage = "sha256:{digest}"\ninitial_state = 0\n{chain}'
