"""The directory that stores are kept in: verification, bounds, collection, and who changes it at the same time."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from theater_bus_store.backend import Bounds, Busy, Collected, Damaged, Full, NoSuchStore, StoreTrouble, TooLong, Usage
from theater_bus_store.directory import DirectoryBackend

HOLDER = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
BOUNDS = Bounds(contents=100, total_bytes=10_000, labels=100)


def reference_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_of(base: Path, content: bytes, store: str = "s") -> Path:
    reference = reference_of(content)
    return base / "stores" / store / "data" / reference[:2] / reference


async def made(base: Path, store: str = "s", owner: str = "me") -> DirectoryBackend:
    backend = DirectoryBackend(base)
    await backend.create(store, owner, 10)
    return backend


async def test_content_is_kept_once_under_its_digest(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    first = await backend.put("s", b"a", BOUNDS)
    assert first == reference_of(b"a")
    assert await backend.put("s", b"a", BOUNDS) == first
    assert await backend.get("s", first, 10) == b"a"
    assert await backend.contents("s") == [first]
    assert await backend.usage("s") == Usage(1, 1, 0)


async def test_another_backend_of_the_directory_sees_the_same(tmp_path: Path) -> None:
    reference = await (await made(tmp_path)).put("s", b"a", BOUNDS)
    other = DirectoryBackend(tmp_path)
    assert await other.owner("s") == "me"
    assert await other.get("s", reference, 10) == b"a"


@pytest.mark.parametrize("damage", [b"", b"b", b"longer than it was"])
async def test_damaged_content_is_never_handed_out_and_storing_it_again_repairs_it(
    tmp_path: Path, damage: bytes
) -> None:
    backend = await made(tmp_path)
    reference = await backend.put("s", b"a", BOUNDS)
    file_of(tmp_path, b"a").write_bytes(damage)
    with pytest.raises(Damaged, match=reference):
        await backend.get("s", reference, 100)
    await backend.put("s", b"a", BOUNDS)
    assert await backend.get("s", reference, 10) == b"a"


async def test_content_longer_than_the_reader_may_have_is_not_read(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    reference = await backend.put("s", b"0123456789", BOUNDS)
    with pytest.raises(TooLong, match=r"has 10 bytes, more than the grant store\.content_bytes = 9"):
        await backend.get("s", reference, 9)


@pytest.mark.parametrize(
    ("bounds", "setting"),
    [(Bounds(1, 100, 9), "contents"), (Bounds(9, 5, 9), "total_bytes")],
)
async def test_a_store_holds_no_more_than_its_bounds(tmp_path: Path, bounds: Bounds, setting: str) -> None:
    backend = await made(tmp_path)
    await backend.put("s", b"abc", bounds)
    with pytest.raises(Full, match=f"the grant store.{setting} = "):
        await backend.put("s", b"defg", bounds)
    assert not file_of(tmp_path, b"defg").exists()
    assert await backend.put("s", b"abc", bounds) == reference_of(b"abc")


async def test_labels_are_bounded_and_move_within_the_bound(tmp_path: Path) -> None:
    backend, bounds = await made(tmp_path), Bounds(9, 100, 1)
    one, two = [await backend.put("s", content, bounds) for content in (b"1", b"2")]
    assert await backend.label("s", "a", one, bounds)
    assert await backend.label("s", "a", two, bounds)
    with pytest.raises(Full, match=r"store\.labels = 1"):
        await backend.label("s", "b", one, bounds)
    assert await backend.labelled("s", "a") == two
    await backend.unlabel("s", "a")
    await backend.unlabel("s", "a")
    assert await backend.labelled("s", "a") is None
    assert await backend.label("s", "b", one, bounds)
    assert await backend.labels("s") == ["b"]


async def test_only_content_that_is_there_is_labelled(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    assert not await backend.label("s", "a", reference_of(b"never stored"), BOUNDS)
    assert await backend.labels("s") == []


async def test_an_owner_has_no_more_stores_than_granted_and_may_remove_some(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path)
    for store in "ab":
        await backend.create(store, "me", 2)
    with pytest.raises(Full, match=r"store\.stores = 2"):
        await backend.create("c", "me", 2)
    await backend.create("a", "me", 2)
    await backend.create("c", "you", 2)
    await backend.remove("a")
    await backend.remove("a")
    await backend.create("d", "me", 2)
    assert await backend.stores("me") == ["b", "d"]
    assert await backend.stores() == ["b", "c", "d"]
    assert await backend.stores("nobody") == []
    assert await backend.owner("a") is None


async def test_one_of_two_who_make_a_store_at_once_owns_it(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path)
    owners = [f"actor-{n}" for n in range(8)]
    await asyncio.gather(*(backend.create("s", owner, 2) for owner in owners))
    winner = await backend.owner("s")
    assert winner in owners
    assert [owner for owner in owners if await backend.stores(owner) == ["s"]] == [winner]
    assert [path.name for path in (tmp_path / "stores").iterdir()] == ["s"]


async def test_what_many_write_at_once_is_counted_exactly(tmp_path: Path) -> None:
    backend, other = await made(tmp_path), DirectoryBackend(tmp_path)
    contents = [str(n % 20).encode() * 3 for n in range(40)]
    await asyncio.gather(*((backend, other)[n % 2].put("s", one, BOUNDS) for n, one in enumerate(contents)))
    sizes = [len(one) for one in set(contents)]
    assert await backend.usage("s") == Usage(len(sizes), sum(sizes), 0)
    await backend.collect("s", 3600)
    assert await backend.usage("s") == Usage(len(sizes), sum(sizes), 0)


async def test_a_collection_removes_what_no_label_refers_to_after_the_grace_time(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    kept, fresh, old = [await backend.put("s", content, BOUNDS) for content in (b"kept", b"fresh", b"old one")]
    await backend.label("s", "a", kept, BOUNDS)
    for content in (b"kept", b"old one"):
        os.utime(file_of(tmp_path, content), (0, time.time() - 100))
    assert await backend.collect("s", 50, dry_run=True) == Collected(1, 7)
    assert await backend.exists("s", old)
    assert await backend.collect("s", 50) == Collected(1, 7)
    assert await backend.contents("s") == sorted([kept, fresh])
    assert await backend.usage("s") == Usage(2, 9, 1)
    assert await backend.collect("s", 0) == Collected(1, 5)
    assert await backend.get("s", kept, 10) == b"kept"


async def test_content_that_is_stored_or_labelled_again_is_young_again(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    for content in (b"stored", b"labelled"):
        reference = await backend.put("s", content, BOUNDS)
        os.utime(file_of(tmp_path, content), (0, 0))
    await backend.put("s", b"stored", BOUNDS)
    await backend.label("s", "a", reference, BOUNDS)
    await backend.unlabel("s", "a")
    assert await backend.collect("s", 50) == Collected(0, 0)


async def test_a_collection_tidies_up_what_a_crash_left_and_counts_again(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    await backend.put("s", b"a", BOUNDS)
    place = tmp_path / "stores" / "s"
    left = file_of(tmp_path, b"a").with_name(".half-written")
    left.write_bytes(b"ha")
    os.utime(left, (0, 0))
    (place / "usage.json").write_bytes(b'{"contents": 7, "total_bytes": 9999, "labels": 3}')
    assert await backend.contents("s") == [reference_of(b"a")]
    await backend.collect("s", 50)
    assert not left.exists()
    assert await backend.usage("s") == Usage(1, 1, 0)


async def test_what_is_held_by_another_process_is_busy_and_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("theater_bus_store.files.LOCK_S", 0.05)
    backend = await made(tmp_path)
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLDER,
        str(tmp_path / "stores" / "s" / "lock"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(Busy):
        await backend.put("s", b"a", BOUNDS)
    await holder.communicate(b"\n")
    await backend.put("s", b"a", BOUNDS)


@contextmanager
def holding(lock: Path) -> Iterator[Any]:
    """Hold a lock; what it gives releases it."""
    with open(lock) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield partial(fcntl.flock, file, fcntl.LOCK_UN)


async def waited_for(lock: Path) -> None:
    """Wait until somebody else of this process has the file open."""

    def opened() -> int:
        wanted, found = os.stat(lock), 0
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                found += os.path.samestat(os.stat(f"/proc/self/fd/{name}"), wanted)
        return found

    async with asyncio.timeout(60):
        while opened() < 2:  # noqa: ASYNC110  it is a thread that opens it
            await asyncio.sleep(0.002)


async def test_whoever_waited_for_a_store_that_was_made_again_waits_for_the_lock_of_the_new_one(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    lock = tmp_path / "stores" / "s" / "lock"
    with holding(lock) as release:
        writing = asyncio.create_task(backend.put("s", b"a", BOUNDS))
        await waited_for(lock)
        lock.parent.rename(tmp_path / "gone")
        await backend.create("s", "you", 10)
        with holding(lock):
            release()
            await waited_for(lock)
            assert await backend.contents("s") == []
        assert await writing == reference_of(b"a")
    assert await backend.contents("s") == [reference_of(b"a")]


async def test_a_store_that_is_gone_is_told_apart_from_an_empty_one(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    await backend.remove("s")
    with pytest.raises(NoSuchStore):
        await backend.put("s", b"a", BOUNDS)
    with pytest.raises(NoSuchStore):
        await backend.usage("s")
    assert list((tmp_path / "stores").iterdir()) == []


async def test_a_disk_that_refuses_is_told_without_its_paths(tmp_path: Path) -> None:
    backend = await made(tmp_path)
    data = tmp_path / "stores" / "s" / "data"
    data.rmdir()
    data.write_bytes(b"")
    with pytest.raises(StoreTrouble, match="Not a directory") as caught:
        await backend.put("s", b"a", BOUNDS)
    assert str(tmp_path) not in str(caught.value)
