"""`theater-bus store`, as an operator types it, against a server and against a directory."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from theater_bus.cli.main import run
from theater_bus_store import Store

Typed = Callable[..., Coroutine[Any, Any, tuple[int, Any]]]


@pytest.fixture(params=["directory", "nats"])
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def host(start_host: Any, tmp_path: Path) -> Any:
    return await start_host(Store, data_dir=tmp_path)


@pytest.fixture
async def actor(system: str, host: Any) -> Any:
    return await host.spawn(Store, id="keeper", capabilities={"store": {"backend": system}})


@pytest.fixture
def typed(host: Any, system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """`code, document = await typed("gc", …)`."""
    where = ["--data", str(tmp_path)] if system == "directory" else []
    shared = ["-o", "json", "-s", host.url, "-n", host.theater.namespace]

    async def type_(command: str, *words: str) -> tuple[int, Any]:
        code = await asyncio.to_thread(run, [*shared, "store", command, *words, *where])
        captured = capsys.readouterr()
        return code, json.loads(captured.out or captured.err)

    return type_


async def test_an_operator_sees_what_there_is_and_collects_what_no_label_refers_to(actor: Any, typed: Typed) -> None:
    assert await typed("list") == (0, [])
    store = await actor.call_function("new")
    await actor.call_function("store-at-label", [store, "a", b"kept"])
    await actor.call_function("store", [store, b"loose one"])
    facts = {"store": store, "owner": "keeper", "contents": 2, "total_bytes": 13, "labels": 1}
    assert await typed("list") == (0, [facts])
    assert await typed("gc") == (0, [{"store": store, "contents": 0, "bytes": 0}])
    assert await typed("gc", "--older-than", "0", "--dry-run") == (0, [{"store": store, "contents": 1, "bytes": 9}])
    assert await typed("gc", store, "--older-than", "0") == (0, [{"store": store, "contents": 1, "bytes": 9}])
    [left] = await actor.call_function("list-all-content", [store])
    assert left == {"ok": [hashlib.sha256(b"kept").hexdigest()]}
    assert await typed("remove", store) == (0, {"removed": store})
    assert await typed("list") == (0, [])


@pytest.mark.parametrize("store", ["not-there", "../../etc", "a\0b"])
async def test_a_store_that_is_not_there_is_named(typed: Typed, store: str) -> None:
    for words in (("gc", store), ("remove", store)):
        code, document = await typed(*words)
        assert code == 1
        assert "there is no store" in document["error"]["why"]
        assert "theater-bus store list" in document["error"]["fix"]


async def test_text_is_for_people(
    host: Any, actor: Any, system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = await actor.call_function("new")
    where = ["--data", str(tmp_path)] if system == "directory" else []
    shared = ["-s", host.url, "-n", host.theater.namespace]
    for words, expected in ((["list"], "keeper"), (["gc"], f"{store}: removed 0 contents, 0 bytes")):
        for line in ([*shared, "store", *words, *where], ["store", *words, *where, *shared]):
            assert await asyncio.to_thread(run, line) == 0
            assert expected in capsys.readouterr().out
