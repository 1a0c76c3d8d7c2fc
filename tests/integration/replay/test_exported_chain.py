"""A chain exported into one file: whole, with its objects, verified and replayed without the host that wrote it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from theater_bus import connect_sync
from theater_bus.core.chain.archive import read_archive
from theater_bus.errors import ActorNotFound
from theater_bus.host.replay import Verdict, replay
from theater_bus.testing.guests import Guest
from theater_bus.testing.running import running_host

PROGRAM = Path(sys.executable).with_name("theater-bus")


@pytest.fixture
def counter(guest_of: Any) -> Guest:
    """The counter, as each kind in turn."""
    found: Guest = guest_of("counter")
    return found


async def read(path: Path) -> Any:
    return read_archive(await asyncio.to_thread(path.read_bytes))


async def test_a_run_is_exported_and_replays_from_the_file_alone(
    tmp_path: Path, nats_server: Any, counter: Guest, kind: str
) -> None:
    path = tmp_path / "run.chain"
    options: dict[str, Any] = {"namespace": f"exported-{kind}", "data_dir": tmp_path / "data"}
    async with running_host(server=nats_server, **options) as host:
        actor = await host.spawn(counter, chain={"durability": "file"})
        for _ in range(3):
            await actor.call.increment(2)
        done = await actor.get_chain().export(path)
        assert done.path == path
        assert done.missing == ()
        assert done.size_bytes == (await asyncio.to_thread(path.stat)).st_size
    found = await read(path)
    assert (found.actor, found.namespace) == (actor.id, f"exported-{kind}")
    assert hashlib.sha256(counter.wasm).digest() in found.objects
    assert len(found.objects) == done.objects == 3
    report = await replay(found.segments, found.object)
    assert (report.verdict, report.events) == (Verdict.IDENTICAL, done.events), str(report)


async def test_what_nobody_has_is_named_and_can_be_given(
    tmp_path: Path, nats_server: Any, counter: Guest, kind: str
) -> None:
    async with running_host(server=nats_server, namespace=f"given-{kind}") as host:
        actor = await host.spawn(counter)
        await actor.call.increment(2)
        done = await actor.get_chain().export(tmp_path / "without")
        assert done.missing == (hashlib.sha256(counter.wasm).digest(),)
        again = await actor.get_chain().export(tmp_path / "with", package=counter.wasm)
        assert again.missing == ()
    lacking, whole = await read(tmp_path / "without"), await read(tmp_path / "with")
    assert lacking.missing == done.missing
    assert (await replay(lacking.segments, lacking.object)).verdict is Verdict.INCOMPLETE
    assert (await replay(whole.segments, whole.object)).verdict is Verdict.IDENTICAL


async def test_long_payloads_and_spilled_segments_are_in_the_file(
    tmp_path: Path, nats_server: Any, guest_of: Any, kind: str
) -> None:
    async with running_host(server=nats_server, namespace=f"long-{kind}", data_dir=tmp_path / "data") as host:
        await host.host.objects.create()
        actor = await host.spawn(guest_of("echo"), chain={"durability": "file"}, state="y" * 2_000_000)
        for size in (100, 70_000, 900_000):
            text = "x" * size
            assert await actor.call_function("test:echo/plain.string", [text]) == text
        done = await actor.get_chain().export(tmp_path / "run")
    found = await read(tmp_path / "run")
    assert done.missing == found.missing == ()
    assert max(map(len, found.objects.values())) > 2_000_000
    report = await replay(found.segments, found.object)
    assert report.verdict is Verdict.IDENTICAL, str(report)


async def test_a_failed_export_leaves_nothing_behind(
    tmp_path: Path, nats_server: Any, counter: Guest, kind: str
) -> None:
    async with running_host(server=nats_server, namespace=f"failing-{kind}") as host:
        with pytest.raises(ActorNotFound):
            await host.theater.actor("nobody").get_chain().export(tmp_path / "run")
        actor = await host.spawn(counter)
        with pytest.raises(FileNotFoundError):
            await actor.get_chain().export(tmp_path / "no-such-folder" / "run")
    assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_the_client_without_await_exports_too(
    tmp_path: Path, nats_server: Any, counter: Guest, kind: str
) -> None:
    async with running_host(server=nats_server, namespace=f"sync-{kind}") as host:
        actor = await host.spawn(counter)

        def export() -> int:
            with connect_sync(host.url, namespace=f"sync-{kind}") as theater:
                return theater.actor(actor.id).get_chain().export(tmp_path / "run", package=counter.wasm).events

        assert await asyncio.to_thread(export) == 3


@pytest.mark.parametrize("kind", ["module"], indirect=True)
async def test_the_command_line_exports_and_reads_a_file_without_a_server(
    tmp_path: Path, nats_server: Any, counter: Guest, kind: str
) -> None:
    async def command(*words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM), *words, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        return int(process.returncode or 0), out.decode()

    (tmp_path / "counter.wasm").write_bytes(counter.wasm)
    async with running_host(server=nats_server, namespace=f"typed-{kind}") as host:
        place = ("--server", host.url, "--namespace", f"typed-{kind}")
        actor = await host.spawn(counter, id="c")
        await actor.call.increment(2)
        status, printed = await command("chain", "c", "--export", "run.chain", *place)
        assert (status, "objects that are missing: 1" in printed) == (0, True), printed
        status, printed = await command("chain", "c", "--export", "run.chain", "--package", "counter.wasm", *place)
        assert (status, printed.startswith("exported: 5 events and 3 objects")) == (0, True), printed
        assert (await command("chain", "c", "--export", "no/run.chain", *place))[0] != 0
        assert (await command("chain", "c", "--export", "x", "--verify", *place))[0] == 2
        assert (await command("chain", "c", "--package", "counter.wasm", *place))[0] == 2
    nowhere = ("--server", "nats://127.0.0.1:1")
    status, printed = await command("chain", "./run.chain", "--verify", *nowhere)
    assert (status, printed.startswith("intact: 5 events of actor 'c'")) == (0, True), printed
    status, printed = await command("chain", "./run.chain", "--from", "1", *nowhere)
    assert (status, len(printed.splitlines())) == (0, 4), printed
    data = bytearray((tmp_path / "run.chain").read_bytes())
    data[data.index(counter.wasm) + len(counter.wasm) // 2] ^= 1
    (tmp_path / "bent.chain").write_bytes(data)
    status, printed = await command("chain", "bent.chain", "--verify", *nowhere)
    assert (status, printed.startswith("incomplete: 5 events"), "objects that are missing: 1" in printed) == (
        1,
        True,
        True,
    )
    (tmp_path / "cut.chain").write_bytes((tmp_path / "run.chain").read_bytes()[:-10])
    status, printed = await command("chain", "cut.chain", *nowhere)
    assert (status, "cut off" in printed) == (1, True), printed
