"""The file log: what survives a kill at any byte, what is cut, and what is called damaged."""

import asyncio
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from theater_bus.core.chain.batch import Batch, decode_batch
from theater_bus.core.chain.bodies import Checkpoint, Exit, Genesis, WindowEntry
from theater_bus.core.chain.control import Archived, Paused, Recovered
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import Verdict
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.errors import ActorError, ActorNotFound, ChainTampered, ConfigurationError, Unavailable
from theater_bus.host.chain import FileSettings, FileStore
from theater_bus.host.chain.frame import FILE_HEADER_BYTES, HEADER_BYTES, NOWHERE, Frame, Place
from theater_bus.host.chain.log_files import Cut, Entry, LogFiles

ID = bytes(16)
ZERO = bytes(32)


class Actor:
    """An actor's writer, and appends that are awaited."""

    def __init__(self, store: FileStore, name: str = "a", writer: ChainWriter | None = None) -> None:
        self.store, self.name = store, name
        self.writer = writer or ChainWriter(name, ID)
        self.tail = store.open(name, self.writer.incarnation)

    def genesis(self, incarnation: bytes = ID) -> Segment:
        body = Genesis(self.name, incarnation, ZERO, ZERO, ZERO, b"s0", "e", "a", 65_536, None, None)
        return self.writer.write(1, body)

    def operation(self, state: bytes | None = None, value: bytes = b"value", key: str = "key") -> Segment:
        recording = self.writer.begin(2, "f", b"params", key, "alice", "subject")
        recording.result(3, value, state)
        return recording.commit()

    def checkpoint(self, state: bytes) -> Segment:
        window = (WindowEntry("alice", "old", ZERO, ZERO, 2, False),)
        body = Checkpoint("running", ZERO, ZERO, ZERO, "a", 65_536, state, window, 1, (), {}, {})
        return self.writer.write(4, body)

    def start(self, *segments: Segment) -> "asyncio.Future[ActorError | None]":
        done: asyncio.Future[ActorError | None] = asyncio.get_running_loop().create_future()
        self.store.append(self.name, segments, done.set_result)
        return done

    async def append(self, *segments: Segment) -> None:
        error = await self.start(*segments)
        if error is not None:
            raise error


@asynccontextmanager
async def opened(directory: Path, settings: FileSettings | None = None) -> AsyncIterator[FileStore]:
    async with await FileStore.start(directory, settings) as store:
        yield store


def log_file(directory: Path, number: int = 1) -> Path:
    return directory / "log" / f"{number:08}.log"


def records(directory: Path) -> list[tuple[Place, Frame]]:
    """Every record of a directory that nobody has open."""
    found: list[tuple[Place, Frame]] = []
    files = LogFiles.open(directory)
    try:
        files.recover(lambda place, record: found.append((place, record)))
    finally:
        files.close()
    return found


def crash_copy(source: Path, target: Path) -> Path:
    """The directory as a kill would leave it: without what closing adds."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


@pytest.fixture
async def crashed(tmp_path: Path) -> Path:
    """A directory whose host was killed after genesis and three operations of one actor, each a write of its own."""
    source = tmp_path / "source"
    async with opened(source) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        for number in (1, 2, 3):
            await actor.append(actor.operation(b"s%d" % number))
        return crash_copy(source, tmp_path / "crashed")


async def test_a_restarted_host_finds_every_actor_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        one, other = Actor(store, "one"), Actor(store, "other")
        await one.append(one.genesis(), one.operation(b"s1"))
        await other.append(other.genesis())
        await other.append(other.writer.write(5, Exit("shutdown", None)))
        tails = [one.tail, other.tail]
    async with opened(tmp_path) as store:
        assert sorted(store.tails(), key=lambda tail: tail.actor) == tails
        assert [tail.exited for tail in tails] == [False, True]
        found = await store.recover("one")
        assert (found.state, found.next_seq, found.head) == (b"s1", 3, one.writer.head)
        assert [(entry.key, found.answers[entry.seq]) for entry in found.window] == [("key", b"value")]
        writer = ChainWriter("one", ID, found.next_seq, found.head, state=found.state)
        again = Actor(store, "one", writer)
        await again.append(writer.write(9, Recovered(1, "h")), again.operation(b"s2"))
        assert (await store.verify("one")).verdict is Verdict.INTACT
        assert (await store.recover("other")).exited == "shutdown"


async def test_recovery_begins_at_the_last_checkpoint(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        await actor.append(actor.genesis(), actor.operation(b"s1"))
        await actor.append(actor.operation(b"s2"), actor.checkpoint(b"s2"), actor.operation(b"s3", key="new"))
        await actor.append(actor.writer.write(8, Paused(None)))
    async with opened(tmp_path) as store:
        (tail,) = store.tails()
        assert (tail.position, tail.state_seq, tail.checkpoint_seq) == (3, 2, 2)
        found = await store.recover("a")
        assert (found.state, found.phase, [entry.key for entry in found.window]) == (b"s3", "paused", ["old", "new"])
        assert found.genesis is None


async def test_an_archive_note_after_the_exit_does_not_hide_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        await actor.append(actor.writer.write(5, Exit("exited", None)))
        await actor.append(actor.writer.write(6, Archived(1, actor.writer.head)))
    async with opened(tmp_path) as store:
        assert store.tails()[0].exited


async def test_cutting_the_last_record_at_any_byte_loses_that_record_and_nothing_else(
    crashed: Path, tmp_path: Path
) -> None:
    whole = log_file(crashed).read_bytes()
    (*_, (last, record)) = records(crash_copy(crashed, tmp_path / "look"))
    assert record.end == len(whole)
    for end in range(last.offset, len(whole)):
        log_file(crashed).write_bytes(whole[:end])
        async with opened(crashed, FileSettings(fsync="never")) as store:
            found = await store.recover("a")
            assert (found.state, found.next_seq) == (b"s2", 5)
            torn = end - last.offset
            assert list(store.cuts) == ([Cut("00000001.log", last.offset, torn)] if torn else [])


async def test_after_a_cut_the_log_goes_on(crashed: Path) -> None:
    os.truncate(log_file(crashed), log_file(crashed).stat().st_size - 1)
    async with opened(crashed) as store:
        found = await store.recover("a")
        actor = Actor(store, "a", ChainWriter("a", ID, found.next_seq, found.head, state=found.state))
        await actor.append(actor.operation(b"s3"))
        assert (await store.verify("a")).verdict is Verdict.INTACT
    async with opened(crashed) as store:
        assert (await store.recover("a")).state == b"s3"
        assert store.cuts == ()


def test_any_changed_byte_of_an_earlier_record_is_named_as_damage(crashed: Path, tmp_path: Path) -> None:
    whole = log_file(crashed).read_bytes()
    *_, (second, record), _ = records(crash_copy(crashed, tmp_path / "look"))
    directory = crash_copy(crashed, tmp_path / "bad")
    for at in range(second.offset, record.end):
        log_file(directory).write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        files = LogFiles.open(directory)
        with pytest.raises(ChainTampered, match=f"00000001.log: the record at byte {second.offset} is damaged"):
            files.recover(lambda place, record: None)
        files.close()
    assert len(log_file(directory).read_bytes()) == len(whole)


async def test_a_damaged_directory_is_not_served_and_not_kept_locked(crashed: Path, tmp_path: Path) -> None:
    (first, _), *_ = records(crash_copy(crashed, tmp_path / "look"))
    data = bytearray(log_file(crashed).read_bytes())
    data[first.offset + HEADER_BYTES + 3] ^= 1
    log_file(crashed).write_bytes(data)
    for _ in range(2):
        with pytest.raises(ChainTampered, match="a later one at byte"):
            await FileStore.start(crashed)


async def test_damage_to_the_last_record_is_found_after_an_orderly_close(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
    *_, (last, _) = records(tmp_path)
    data = bytearray(log_file(tmp_path).read_bytes())
    data[last.offset + HEADER_BYTES] ^= 1
    log_file(tmp_path).write_bytes(data)
    with pytest.raises(ChainTampered, match=f"the record at byte {last.offset} is damaged"):
        await FileStore.start(tmp_path)


async def test_a_torn_group_falls_as_a_whole_from_the_first_bad_record(tmp_path: Path) -> None:
    async with opened(tmp_path / "source") as store:
        actors = [Actor(store, f"a{number}") for number in range(4)]
        for actor in actors:
            await actor.append(actor.genesis())
        await asyncio.gather(*(actor.start(actor.operation()) for actor in actors))
        directory = crash_copy(tmp_path / "source", tmp_path / "crashed")
    found = records(crash_copy(directory, tmp_path / "look"))
    group = found[-1][1].settled
    assert [record.settled for _, record in found[-4:]] == [group] * 4
    data = bytearray(log_file(directory).read_bytes())
    hole = found[-3][0].offset
    data[hole : hole + 8] = bytes(8)
    log_file(directory).write_bytes(data)
    async with opened(directory) as store:
        assert [tail.next_seq for tail in store.tails()] == [3, 1, 1, 1]
        assert list(store.cuts) == [Cut("00000001.log", hole, len(data) - hole)]


def test_a_record_that_was_moved_is_no_record(crashed: Path) -> None:
    data = log_file(crashed).read_bytes()
    (first, record), (second, _), *_ = records(crashed)
    log_file(crashed).write_bytes(data[: first.offset] + data[second.offset :])
    with pytest.raises(ChainTampered, match="was moved here"):
        records(crashed)
    assert record.payload


async def test_a_record_out_of_its_chain_is_named(crashed: Path, tmp_path: Path) -> None:
    entries = [record for _, record in records(crashed)]
    for name, changed in (
        ("repeated", [entries[0], entries[1], entries[1]]),
        ("skipped", [entries[0], entries[2]]),
    ):
        files = LogFiles.open(tmp_path / name)
        files.recover(lambda place, record: None)
        previous = NOWHERE
        for record in changed:
            (previous,) = files.write([Entry(record.payload, previous, record.first)])
        files.close()
        with pytest.raises(ChainTampered, match="does not follow the one before it of 'a'"):
            await FileStore.start(tmp_path / name)


async def test_what_is_whole_but_no_batch_is_named(tmp_path: Path) -> None:
    files = LogFiles.open(tmp_path)
    files.recover(lambda place, record: None)
    files.write([Entry(b"\x80", NOWHERE, 0)])
    files.close()
    with pytest.raises(ChainTampered, match="log file 1: the record at byte 36: a batch has other keys"):
        await FileStore.start(tmp_path)


async def test_damage_that_comes_later_is_a_corrupt_verdict_naming_the_record(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        for segment in [actor.genesis(), *(actor.operation() for _ in range(4))]:
            await actor.append(segment)
        size = log_file(tmp_path).stat().st_size
        with open(log_file(tmp_path), "r+b") as file:
            file.seek(size - 10)
            file.write(b"\xff")
        report = await store.verify("a")
        assert (report.verdict, report.events) == (Verdict.CORRUPT, 7)
        assert report.problem is not None
        assert "00000001.log: the record at byte" in report.problem.reason
        with pytest.raises(ChainTampered, match="is damaged"):
            await store.read("a", 8)
        with pytest.raises(ChainTampered, match="is damaged"):
            await store.recover("a")
        with open(log_file(tmp_path), "r+b") as file:
            file.seek(FILE_HEADER_BYTES)
            file.write(bytes(HEADER_BYTES))
        assert (await store.verify("a")).verdict is Verdict.CORRUPT
        log_file(tmp_path).unlink()
        assert (await store.verify("a")).verdict is Verdict.CORRUPT


async def test_two_hosts_cannot_use_one_directory(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(ConfigurationError, match=f"in use by process {os.getpid()}. Fix: stop that host"):
            await FileStore.start(tmp_path)
    async with opened(tmp_path):
        pass


async def test_files_are_rotated_by_size_and_read_across(tmp_path: Path) -> None:
    settings = FileSettings(rotate_bytes=2000)
    async with opened(tmp_path, settings) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        for number in range(200):
            await actor.append(actor.operation(b"s%d" % number))
        assert len(list((tmp_path / "log").iterdir())) > 20
    async with opened(tmp_path, settings) as store:
        for begin in (0, 1, 127, 128, 129, 250, 399, 400):
            page = await store.read("a", begin, limit=3)
            assert page.segments[0].first <= begin < page.segments[0].first + page.segments[0].count
        assert (await store.verify("a")).events == 401
        assert (await store.recover("a")).state == b"s199"


@pytest.fixture
async def rotated(tmp_path: Path) -> Path:
    directory = tmp_path / "rotated"
    async with opened(directory, FileSettings(rotate_bytes=800)) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        for _ in range(8):
            await actor.append(actor.operation())
    assert log_file(directory, 3).exists()
    return directory


async def test_a_file_that_is_missing_in_the_middle_is_named(rotated: Path) -> None:
    log_file(rotated, 2).unlink()
    with pytest.raises(ChainTampered, match="log files are missing"):
        await FileStore.start(rotated)


async def test_an_earlier_file_that_lost_its_end_is_damaged(rotated: Path) -> None:
    os.truncate(log_file(rotated, 2), log_file(rotated, 2).stat().st_size - 1)
    with pytest.raises(ChainTampered, match=r"00000002\.log: the record at byte .* is damaged \(the file went on"):
        await FileStore.start(rotated)


async def test_what_lies_behind_the_end_of_an_earlier_file_counts_nothing(rotated: Path) -> None:
    with open(log_file(rotated, 2), "ab") as file:
        file.write(b"left by a write that failed")
    async with opened(rotated) as store:
        assert (await store.verify("a")).events == 17


async def test_a_file_with_a_damaged_header_is_named(rotated: Path) -> None:
    data = bytearray(log_file(rotated, 2).read_bytes())
    data[20] ^= 1
    log_file(rotated, 2).write_bytes(data)
    with pytest.raises(ChainTampered, match=r"00000002\.log: the header is damaged"):
        await FileStore.start(rotated)


@pytest.mark.parametrize("size", [0, 7, FILE_HEADER_BYTES])
async def test_a_file_that_was_never_begun_is_begun_again(rotated: Path, size: int) -> None:
    number = len(list((rotated / "log").iterdir())) + 1
    log_file(rotated, number).write_bytes(bytes(size))
    async with opened(rotated, FileSettings(rotate_bytes=800)) as store:
        assert list(store.cuts) == [Cut(f"{number:08}.log", 0, size)]
        found = await store.recover("a")
        actor = Actor(store, "a", ChainWriter("a", ID, found.next_seq, found.head, state=found.state))
        for _ in range(6):
            await actor.append(actor.operation())
    async with opened(rotated) as store:
        assert (await store.verify("a")).events == 29


async def test_whatever_finishes_meanwhile_leaves_together(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor, seen = Actor(store), []
        store.watch("a", seen.append)
        first = actor.start(actor.genesis())
        await asyncio.sleep(0)
        rest = [actor.start(actor.operation()) for _ in range(10)]
        await asyncio.gather(first, *rest)
        await asyncio.sleep(0)
        sizes = [len(batch.segments) for batch in seen]
    assert sizes == [1, 10]
    assert [len(decode_batch(record.payload).segments) for _, record in records(tmp_path)] == sizes


async def test_batches_and_groups_are_bounded(tmp_path: Path) -> None:
    settings = FileSettings(batch_segments=4, batch_bytes=1000, group_bytes=1)
    seen: list[Batch] = []
    async with opened(tmp_path, settings) as store:
        actor, other = Actor(store), Actor(store, "b")
        store.watch("a", seen.append)
        pending = [actor.start(actor.genesis()), other.start(other.genesis())]
        pending += [actor.start(actor.operation()) for _ in range(9)]
        pending += [actor.start(actor.operation(value=b"v" * 900)) for _ in range(2)]
        await asyncio.gather(*pending)
        await asyncio.sleep(0)
    assert all(len(batch.segments) <= 4 for batch in seen)
    assert all(sum(s.size_bytes for s in b.segments) <= 1000 or len(b.segments) == 1 for b in seen)
    assert sum(len(batch.segments) for batch in seen) == 12


async def test_incarnations_do_not_share_a_batch(tmp_path: Path) -> None:
    seen: list[Batch] = []
    async with opened(tmp_path) as store:
        actor = Actor(store)
        store.watch("a", seen.append)
        pending = [actor.start(actor.genesis()), actor.start(actor.writer.write(2, Exit("exited", None)))]
        store.open("a", b"2" * 16, 1)
        pending.append(actor.start(actor.genesis(b"2" * 16)))
        await asyncio.gather(*pending)
        await asyncio.sleep(0)
        assert [(batch.incarnation, batch.epoch) for batch in seen] == [(ID, 0), (b"2" * 16, 1)]
        assert (await store.verify("a")).verdict is Verdict.INTACT


async def test_long_segments_are_spilled_beside_the_log(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        recording = actor.writer.begin(2, "f", b"", "key")
        for _ in range(12):
            recording.host_call(3, "i", "g", b"x" * 60_000, "returned", b"")
        recording.result(4, b"v", b"s1")
        segment = recording.commit()
        await actor.append(segment)
    assert isinstance(decode_batch(records(tmp_path)[-1][1].payload).segments[0], Spilled)
    async with opened(tmp_path) as store:
        page = await store.read("a", 1)
        assert isinstance(page.segments[0], Segment)
        assert page.segments[0].events == segment.events
        assert isinstance((await store.read("a", 1, max_bytes=1000)).segments[0], Spilled)
        assert (await store.recover("a")).state == b"s1"
        assert not store.tails()[0].exited
        spilled = next(path for path in (tmp_path / "objects").rglob("*") if path.is_file())
        spilled.unlink()
        report = await store.verify("a")
        assert (report.verdict, report.missing) == (Verdict.INCOMPLETE, (bytes.fromhex(spilled.name),))
        assert isinstance((await store.read("a", 1)).segments[0], Spilled)


async def test_objects_are_kept_once_and_checked_when_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        digest = await store.keep(b"package")
        assert digest == await store.keep(b"package")
        assert await store.payload(digest) == b"package"
        path = tmp_path / "objects" / digest.hex()[:2] / digest.hex()
        path.write_bytes(b"PACKAGE")
        with pytest.raises(ChainTampered, match="holds other bytes"):
            await store.payload(digest)
        path.write_bytes(b"half")
        await store.keep(b"package")
        assert await store.payload(digest) == b"package"


async def test_what_a_killed_host_left_aside_is_removed(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    (tmp_path / "objects" / "aside" / "half-written").write_bytes(b"x")
    async with opened(tmp_path):
        assert list((tmp_path / "objects" / "aside").iterdir()) == []


async def test_a_damaged_payload_is_a_corrupt_verdict(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        await actor.append(actor.genesis(), actor.operation(value=b"v" * 70_000))
        path = next(path for path in (tmp_path / "objects").rglob("*") if path.is_file())
        path.write_bytes(b"w" * 70_000)
        report = await store.verify("a")
        assert report.problem is not None
        assert "holds other bytes" in report.problem.reason


@contextmanager
def files_no_longer_than(size_bytes: int) -> Iterator[None]:
    """The kernel refuses writes beyond this file size, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_full_disk_refuses_everything_until_a_probe_gets_through(tmp_path: Path) -> None:
    async with opened(tmp_path, FileSettings(probe_s=0.01)) as store:
        actor, other = Actor(store), Actor(store, "b")
        await actor.append(actor.genesis())
        size = log_file(tmp_path).stat().st_size
        mark = actor.writer.mark()
        with files_no_longer_than(size + 20):
            refused = [actor.start(actor.operation(b"s1")), actor.start(actor.operation(b"s2"))]
            refused.append(other.start(other.genesis()))
            for error in await asyncio.gather(*refused):
                assert isinstance(error, Unavailable)
                assert (error.ran, os.strerror(errno.EFBIG) in error.message) == ("rolled-back", True)
            assert store.refusing
            assert store.refusal
            actor.writer.rewind(mark)
            decided: list[ActorError | None] = []
            store.append("a", (actor.operation(b"s3"),), decided.append)
            assert isinstance(decided[0], Unavailable)
            assert log_file(tmp_path).stat().st_size == size
        await until(lambda: not store.refusing)
        actor.writer.rewind(mark)
        await actor.append(actor.operation(b"s4"))
        assert (await store.verify("a")).events == 3
        assert (await store.read("b")).end_seq == 0
    async with opened(tmp_path) as store:
        assert (await store.recover("a")).state == b"s4"
        assert [tail.actor for tail in store.tails()] == ["a"]


async def test_a_probe_that_fails_keeps_the_store_refusing(tmp_path: Path) -> None:
    async with opened(tmp_path, FileSettings(probe_s=0.01)) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        size = log_file(tmp_path).stat().st_size
        with files_no_longer_than(size):
            assert isinstance(await actor.start(actor.operation()), Unavailable)
            store.refusal = "looked at"
            await until(lambda: store.refusal != "looked at")
            assert store.refusing


async def test_a_sync_that_fails_is_never_acknowledged_and_the_log_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, FileSettings(probe_s=0.01)) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        mark = actor.writer.mark()
        works = os.fdatasync

        def broken(fd: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fdatasync", broken)
        assert isinstance(await actor.start(actor.operation(b"lost")), Unavailable)
        monkeypatch.setattr(os, "fdatasync", works)
        await until(lambda: not store.refusing)
        actor.writer.rewind(mark)
        await actor.append(actor.operation(b"kept"))
        assert log_file(tmp_path, 2).exists()
    async with opened(tmp_path) as store:
        assert (await store.recover("a")).state == b"kept"
        assert (await store.verify("a")).verdict is Verdict.INTACT


def refuse(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def test_an_object_that_cannot_be_kept_refuses_the_segment_that_names_it(tmp_path: Path) -> None:
    async with opened(tmp_path, FileSettings(probe_s=0.01)) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        mark = actor.writer.mark()
        with files_no_longer_than(50_000):
            assert isinstance(await actor.start(actor.operation(value=b"v" * 70_000)), Unavailable)
        assert list((tmp_path / "objects" / "aside").iterdir()) == []
        await until(lambda: not store.refusing)
        actor.writer.rewind(mark)
        await actor.append(actor.operation(value=b"v" * 70_000))
        assert (await store.verify("a")).verdict is Verdict.INTACT


async def test_a_file_whose_first_sync_fails_is_made_anew_however_long_that_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, FileSettings(probe_s=0.01)) as store:
        actor = Actor(store)
        mark = actor.writer.mark()
        with monkeypatch.context() as broken, files_no_longer_than(FILE_HEADER_BYTES - 1):
            broken.setattr(os, "fdatasync", refuse)
            broken.setattr(os, "ftruncate", refuse)
            assert isinstance(await actor.start(actor.genesis()), Unavailable)
            store.refusal = "looked at"
            await until(lambda: store.refusal != "looked at")
        await until(lambda: not store.refusing)
        actor.writer.rewind(mark)
        await actor.append(actor.genesis())
        assert [path.name for path in (tmp_path / "log").iterdir()] == ["00000001.log"]
    async with opened(tmp_path) as store:
        assert (await store.verify("a")).events == 1


async def test_links_that_lead_nowhere_are_damage_not_a_loop(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        for segment in [actor.genesis(), *(actor.operation() for _ in range(4))]:
            await actor.append(segment)
        path = log_file(tmp_path)
        whole = path.read_bytes()
        last = whole.rindex(b"TBR1")
        for link in (Place(1, last), Place(1, last + 1), Place(9, FILE_HEADER_BYTES)):
            changed = bytearray(whole)
            changed[last + 12 : last + 16] = link.file.to_bytes(4, "little")
            changed[last + 16 : last + 24] = link.offset.to_bytes(8, "little")
            path.write_bytes(changed)
            with pytest.raises(ChainTampered, match="the record at byte"):
                await store.read("a", 5)


async def test_long_records_are_read_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        segment = actor.operation(value=b"v" * 20_000)
        await actor.append(segment)
        page = await store.read("a", 1)
        assert isinstance(page.segments[0], Segment)
        assert page.segments[0].events == segment.events


async def test_a_cancelled_writer_leaves_what_waits_undecided_for_nobody(tmp_path: Path) -> None:
    store = await FileStore.start(tmp_path)
    actor = Actor(store)
    pending = actor.start(actor.genesis())
    await asyncio.sleep(0)
    assert store._runner is not None
    store._runner.cancel()
    error = await pending
    assert isinstance(error, Unavailable)
    assert error.ran == "unknown"
    await store.close()


@pytest.mark.parametrize("policy", ["interval", "never"])
async def test_looser_policies_keep_what_they_say_over_a_close(tmp_path: Path, policy: str) -> None:
    settings = FileSettings(fsync=policy, fsync_interval_s=0.01)  # type: ignore[arg-type]
    async with opened(tmp_path, settings) as store:
        actor = Actor(store)
        await actor.append(actor.genesis())
        for _ in range(5):
            await actor.append(actor.operation())
    async with opened(tmp_path, settings) as store:
        assert (await store.verify("a")).events == 11


async def test_a_hole_since_the_last_sync_of_an_interval_is_a_torn_end_and_before_it_is_damage(tmp_path: Path) -> None:
    async with opened(tmp_path / "source", FileSettings(fsync="interval", fsync_interval_s=3600)) as store:
        actor = Actor(store)
        store._synced_at = asyncio.get_running_loop().time()
        for segment in [actor.genesis(), actor.operation(b"s1"), actor.operation(b"s2")]:
            await actor.append(segment)
        torn = crash_copy(tmp_path / "source", tmp_path / "torn")
        await store._sync()
        await actor.append(actor.operation(b"s3"))
        damaged = crash_copy(tmp_path / "source", tmp_path / "damaged")
    _, (second, _), *_ = records(crash_copy(torn, tmp_path / "look"))
    for directory in (torn, damaged):
        with open(log_file(directory), "r+b") as file:
            file.seek(second.offset)
            file.write(bytes(16))
    async with opened(torn) as store:
        assert [tail.next_seq for tail in store.tails()] == [1]
        assert store.cuts[0].offset == second.offset
    with pytest.raises(ChainTampered, match=f"byte {second.offset} is damaged"):
        await FileStore.start(damaged)


async def test_an_actor_that_was_opened_and_never_appended_has_nothing_to_recover(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        Actor(store)
        with pytest.raises(ActorNotFound):
            await store.recover("a")
        assert (await store.verify("a")).events == 0


async def test_nobody_else_can_read_the_directory(tmp_path: Path) -> None:
    async with opened(tmp_path / "data") as store:
        actor = Actor(store)
        await actor.append(actor.genesis(), actor.operation(value=b"v" * 70_000))
        files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
        assert len(files) == 3
        assert {path.stat().st_mode & 0o077 for path in [*files, tmp_path / "data"]} == {0}


async def test_the_interval_policy_syncs_while_idle_and_refuses_when_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    works = os.fdatasync

    def counted(fd: int) -> None:
        synced.append(fd)
        if len(synced) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        works(fd)

    monkeypatch.setattr(os, "fdatasync", counted)
    async with opened(tmp_path, FileSettings(fsync="interval", fsync_interval_s=0.02, probe_s=0.01)) as store:
        actor = Actor(store)
        store._synced_at = asyncio.get_running_loop().time() + 3600
        await actor.append(actor.genesis())
        await until(lambda: len(synced) == 1)
        store._synced_at = asyncio.get_running_loop().time() + 3600
        await actor.append(actor.operation())
        await until(lambda: store.refusing)
        await until(lambda: not store.refusing)


async def test_closing_appends_what_waits_and_refuses_what_comes(tmp_path: Path) -> None:
    store = await FileStore.start(tmp_path)
    actor = Actor(store)
    pending = [actor.start(actor.genesis()), actor.start(actor.operation())]
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    late: list[ActorError | None] = []
    store.append("a", (actor.operation(),), late.append)
    assert isinstance(late[0], Unavailable)
    await closing
    assert [future.result() for future in pending] == [None, None]
    await store.close()
    async with opened(tmp_path) as again:
        assert again.tails()[0].next_seq == 3


async def test_a_listener_that_raises_hurts_nobody_else(tmp_path: Path) -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["message"]))

    def broken(what: object) -> None:
        raise RuntimeError("listener")

    async with opened(tmp_path) as store:
        actor, other = Actor(store), Actor(store, "b")
        store.watch("a", broken)
        store.append("a", (actor.genesis(),), broken)
        await other.append(other.genesis())
        await actor.append(actor.operation())
    assert set(reported) == {"a listener of the chain store raised"}


async def test_a_bug_in_the_writing_decides_what_waits_and_comes_out_of_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await FileStore.start(tmp_path)
    actor = Actor(store)

    def broken(entries: object) -> None:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(store._files, "write", broken)
    error = await actor.start(actor.genesis())
    assert isinstance(error, Unavailable)
    assert (error.ran, store.refusing) == ("unknown", True)
    monkeypatch.undo()
    with pytest.raises(ZeroDivisionError):
        await store.close()
    async with opened(tmp_path):
        pass


CHILD = """
import asyncio, sys
from pathlib import Path
from theater_bus.core.chain.bodies import Genesis
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.host.chain import FileSettings, FileStore

async def main():
    zero = bytes(32)
    store = await FileStore.start(Path(sys.argv[1]), FileSettings(fsync=sys.argv[2], rotate_bytes=20_000))
    writers = [ChainWriter(name, bytes(16)) for name in "abc"]
    loop = asyncio.get_running_loop()

    async def run(writer):
        store.open(writer.actor, bytes(16))
        body = Genesis(writer.actor, bytes(16), zero, zero, zero, b"", "e", "a", 65536, None, None)
        segment, number = writer.write(1, body), 0
        while True:
            done = loop.create_future()
            store.append(writer.actor, (segment,), done.set_result)
            assert await done is None
            sys.stdout.write(f"{writer.actor} {writer.seq}\\n")
            sys.stdout.flush()
            recording = writer.begin(2, "f", b"params", "k")
            recording.result(3, b"v", b"state")
            segment = recording.commit()

    await asyncio.gather(*map(run, writers))

asyncio.run(main())
"""


@pytest.mark.parametrize("policy", ["always", "never"])
async def test_after_kill_9_everything_acknowledged_is_there(tmp_path: Path, policy: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path, policy], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged: dict[str, int] = {}
    for _ in range(400):
        name, seq = child.stdout.readline().split()
        acknowledged[name] = int(seq)
    child.send_signal(signal.SIGKILL)
    *lines, last = child.stdout.read().split("\n")
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert last == "" or not last.endswith("\n")
    for line in lines:
        name, seq = line.split()
        acknowledged[name] = int(seq)
    async with opened(tmp_path) as store:
        assert {tail.actor for tail in store.tails()} == set("abc")
        for tail in store.tails():
            assert tail.next_seq >= acknowledged[tail.actor]
            report = await store.verify(tail.actor)
            assert (report.verdict, report.next_seq) == (Verdict.INTACT, tail.next_seq)
