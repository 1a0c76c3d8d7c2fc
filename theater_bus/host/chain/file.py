"""`file` durability: one log per data directory, appended in groups off the loop.

    DIR/lock        held while a host uses the directory
    DIR/log/        the log files, oldest first; see `frame` for their bytes
    DIR/objects/    packages, manifests, long payloads and spilled segments, by SHA-256

Invariants:

* One append per actor is under way; whatever finishes meanwhile leaves together with it as the next batch, and the
  batches of all actors that wait are one write and one sync.
* `on_done(None)` is called after the write is complete and, with the policy `always`, synced. `interval` syncs every
  second (a power cut can lose what was acknowledged since), `never` leaves it to the system. A process crash loses
  nothing acknowledged, whatever the policy.
* A write that fails takes everything that waits with it, of every actor (`unavailable`, `rolled-back`), and the store
  refuses until a probe has been written and synced.
* What is read was acknowledged. Objects are durable before the segment that names them is written.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from theater_bus.core.chain.batch import SEGMENT_MAX, Batch, Tail, encode_batch
from theater_bus.core.chain.bodies import Genesis
from theater_bus.core.chain.restore import RecoveredActor
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import Verification
from theater_bus.errors import ActorNotFound, ChainTampered, Ran, Unavailable
from theater_bus.host.chain.frame import Frame, Place
from theater_bus.host.chain.history import History, KeptLog
from theater_bus.host.chain.log_files import Cut, Entry, FsyncPolicy, LogFiles
from theater_bus.host.chain.objects import ObjectDirectory
from theater_bus.host.chain.store import Done, Page, Watcher

__all__ = ["FileSettings", "FileStore"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileSettings:
    """How a data directory is written.

    `fsync`: `always` before every acknowledgement, every `fsync_interval_s` seconds (`interval`), or `never`. Files
    end at `rotate_bytes`. A batch ends at `batch_segments` segments or `batch_bytes` of events, a write at
    `group_bytes`. While the disk refuses, it is tried again every `probe_s` seconds.
    """

    fsync: FsyncPolicy = "always"
    fsync_interval_s: float = 1.0
    rotate_bytes: int = 256 * 1024 * 1024
    batch_segments: int = 256
    batch_bytes: int = SEGMENT_MAX
    group_bytes: int = 8 * 1024 * 1024
    probe_s: float = 1.0


class _Append(NamedTuple):
    """What one call of `append` asked for."""

    segments: Sequence[Segment]
    marks: int
    size_bytes: int
    incarnation: bytes
    epoch: int
    on_done: Done


class _Log(KeptLog):
    """An actor's log, what waits to be appended to it, and who watches."""

    __slots__ = ("epoch", "incarnation", "next_seq", "under_way", "waiting", "watcher")

    def __init__(self, kept: KeptLog) -> None:
        self.tail = kept.tail
        self.index = kept.index
        self.begin = kept.begin
        self.incarnation = kept.tail.incarnation
        self.epoch = kept.tail.epoch
        self.next_seq = kept.tail.next_seq
        self.waiting: deque[_Append] = deque()
        self.under_way: list[_Append] = []
        self.watcher: Watcher | None = None


class _Leaving(NamedTuple):
    """One actor's batch on its way to the disk."""

    log: _Log
    batch: Batch
    marks: int
    previous: Place


class FileStore:
    """A `ChainStore` in a data directory. Made by `await FileStore.start(…)`; an async context manager that closes it.

    `refusing` says that the disk does not take what is appended, `refusal` why. `cuts` are the torn ends that recovery
    cut off.
    """

    def __init__(self, directory: Path, settings: FileSettings) -> None:
        self.settings = settings
        self.refusing = False
        self.refusal = ""
        self.cuts: Sequence[Cut] = ()
        self._directory = directory
        self._logs: dict[str, _Log] = {}
        self._dirty: dict[_Log, None] = {}
        self._wake = asyncio.Event()
        self._is_closing = False
        self._synced_at = 0.0
        self._writer = ThreadPoolExecutor(1, "theater-log")
        self._readers = ThreadPoolExecutor(2, "theater-log-read")
        self._runner: asyncio.Task[None] | None = None
        self._files: LogFiles
        self._objects: ObjectDirectory
        self._history: History

    @classmethod
    async def start(cls, directory: Path, settings: FileSettings | None = None) -> Self:
        """Lock the directory, recover what it holds, and be ready to append.

        Raises `ConfigurationError` when another host uses the directory, `ChainTampered` when it is damaged, and
        `OSError` when it cannot be read or written.
        """
        store = cls(directory, settings or FileSettings())
        try:
            logs = await store._off(store._writer, store._load)
        except BaseException:
            store._writer.shutdown(wait=False)
            store._readers.shutdown(wait=False)
            raise
        store._logs = {actor: _Log(kept) for actor, kept in logs.items()}
        store._runner = asyncio.create_task(store._run(), name="theater-file-log")
        return store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def open(self, actor: str, incarnation: bytes, epoch: int = 0) -> Tail:
        """Begin or go on with the log of `actor`, as this incarnation; returns where it ends (a live view)."""
        log = self._logs.get(actor)
        if log is None:
            log = self._logs[actor] = _Log(KeptLog(Tail(actor, incarnation, epoch)))
        log.incarnation, log.epoch = incarnation, epoch
        return log.tail

    def append(self, actor: str, segments: Sequence[Segment], on_done: Done) -> None:
        """Append segments that go on where the log, with what is under way, ends.

        While the store refuses, `on_done` is called with `Unavailable` before this returns. Raises `ChainTampered` for
        segments that do not go on there, and `ActorNotFound` for a log that was not opened.
        """
        log = self._log(actor)
        marks = size = 0
        expected = log.next_seq
        for segment in segments:
            if segment.first != expected:
                raise ChainTampered(f"{actor}: appended out of order, expected event {expected}", seq=segment.first)
            expected += len(segment.events)
            marks |= segment.marks
            size += segment.size_bytes
        if self.refusing or self._is_closing:
            on_done(self._unavailable("rolled-back"))
            return
        log.next_seq = expected
        log.waiting.append(_Append(segments, marks, size, log.incarnation, log.epoch, on_done))
        self._dirty[log] = None
        self._wake.set()

    async def read(self, actor: str, from_seq: int = 0, limit: int = 256, max_bytes: int = 1 << 20) -> Page:
        """Segments from the one that holds `from_seq` on; see `ChainStore.read`."""
        log = self._log(actor)
        end, view = log.tail.next_seq, log.index.view()
        if from_seq >= end:
            return Page((), end, end, view.firsts[0] if view.points else end)
        return await self._off(self._readers, lambda: self._history.page(view, from_seq, end, limit, max_bytes))

    async def payload(self, digest: bytes) -> bytes | None:
        """The bytes of an object by their SHA-256; None when it is missing. Raises `ChainTampered` for other bytes."""
        return await self._off(self._readers, lambda: self._objects.get(digest))

    async def keep(self, data: bytes) -> bytes:
        """Keep an object (a package, a manifest, grants); returns its SHA-256. Raises `OSError`."""
        return await self._off(self._readers, lambda: self._objects.put(data))

    async def verify(self, actor: str) -> Verification:
        """Verify the log of an actor from its genesis, stored payloads included. Raises `ActorNotFound`."""
        view = self._log(actor).index.view()
        return await self._off(self._readers, lambda: self._history.verify(view))

    async def recover(self, actor: str) -> RecoveredActor:
        """The actor as its log leaves it. Raises `ActorNotFound`, and `ChainTampered` when the log is damaged."""
        log = self._log(actor)
        if not log.index.count:
            raise _nothing_of(actor, self._directory)
        tail, view = dataclasses.replace(log.tail), log.index.view()
        return await self._off(self._readers, lambda: self._history.recover(tail, view))

    async def genesis(self, actor: str) -> Genesis:
        """What the last incarnation of an actor began with. Raises `ActorNotFound`, `ChainTampered`."""
        log = self._log(actor)
        if not log.index.count:
            raise _nothing_of(actor, self._directory)
        begin, view = log.begin, log.index.view()
        return await self._off(self._readers, lambda: self._history.genesis(view, begin))

    def watch(self, actor: str, watcher: Watcher | None) -> None:
        """Tell `watcher` every batch from here on; None ends it. Raises `ActorNotFound`."""
        self._log(actor).watcher = watcher

    def tails(self) -> Sequence[Tail]:
        """Where every log ends."""
        return [log.tail for log in self._logs.values()]

    async def close(self) -> None:
        """Append what waits, sync, release the directory. Raises what ended the writing, when something did."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        self._is_closing = True
        self._wake.set()
        try:
            await asyncio.wait([runner])
            if not runner.cancelled():
                runner.result()
            await self._off(self._writer, self._files.sync)
            with suppress(OSError):  # a full disk: everything acknowledged is synced, only the seal is missing
                await self._off(self._writer, self._files.seal)
        finally:
            await self._off(self._writer, self._files.close)
            self._writer.shutdown()
            self._readers.shutdown()

    async def _off(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    def _log(self, actor: str) -> _Log:
        log = self._logs.get(actor)
        if log is None:
            raise _nothing_of(actor, self._directory)
        return log

    def _load(self) -> dict[str, KeptLog]:
        """Open and recover the directory; in the writer's thread."""
        settings = self.settings
        self._files = LogFiles.open(self._directory, policy=settings.fsync, rotate_bytes=settings.rotate_bytes)
        try:
            self._objects = ObjectDirectory(self._directory / "objects", sync=settings.fsync != "never")
            self._history = History(self._files.directory, self._objects)
            logs: dict[str, KeptLog] = {}

            def take(place: Place, record: Frame) -> None:
                self._history.take(logs, place, record)

            self._files.recover(take)
            self._history.settle(logs.values())
        except BaseException:
            self._files.close()
            raise
        self.cuts = tuple(self._files.cuts)
        return logs

    async def _run(self) -> None:
        """Write what waits, group by group, until the store closes."""
        try:
            while self._dirty or not self._is_closing:
                if self.refusing:
                    await self._probe()
                elif self._dirty:
                    await self._write_group()
                else:
                    await self._idle()
        except BaseException as broken:
            self._refuse(broken, "unknown")
            raise

    async def _idle(self) -> None:
        """Wait for something to write; with the policy `interval`, sync when that takes long."""
        self._wake.clear()
        is_timed = self.settings.fsync == "interval"
        try:
            await asyncio.wait_for(self._wake.wait(), self.settings.fsync_interval_s if is_timed else None)
        except TimeoutError:
            await self._sync()

    async def _sync(self) -> None:
        self._synced_at = asyncio.get_running_loop().time()
        try:
            await self._off(self._writer, self._files.sync)
        except OSError as refused:
            self._refuse(refused, "rolled-back")

    async def _probe(self) -> None:
        """Wait, then see whether the disk takes a record again."""
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), self.settings.probe_s)
        except TimeoutError:
            try:
                await self._off(self._writer, self._files.probe)
            except OSError as refused:
                self.refusal = str(refused)
            else:
                self.refusing, self.refusal = False, ""

    async def _write_group(self) -> None:
        leaving = self._gather()
        try:
            written = await self._off(self._writer, lambda: self._write(leaving))
        except OSError as refused:
            self._refuse(refused, "rolled-back")
            return
        for (log, _, marks, _), (batch, place) in zip(leaving, written, strict=True):
            self._accept(log, batch, marks, place)
        if self.settings.fsync == "interval":
            waited = asyncio.get_running_loop().time() - self._synced_at
            if waited >= self.settings.fsync_interval_s:
                await self._sync()

    def _gather(self) -> list[_Leaving]:
        """One batch of every actor that has something waiting, up to the size of a write."""
        leaving: list[_Leaving] = []
        room = self.settings.group_bytes
        for log in list(self._dirty):
            if room <= 0:
                break
            size, marks = self._take_batch(log)
            room -= size
            del self._dirty[log]
            if log.waiting:
                self._dirty[log] = None
            segments = [segment for append in log.under_way for segment in append.segments]
            batch, oldest = log.tail.batch(segments, marks), log.under_way[0]
            if (batch.incarnation, batch.epoch) != (oldest.incarnation, oldest.epoch):
                batch = dataclasses.replace(batch, incarnation=oldest.incarnation, epoch=oldest.epoch)
            leaving.append(_Leaving(log, batch, marks, log.index.last))
        return leaving

    def _take_batch(self, log: _Log) -> tuple[int, int]:
        """Move what fits into one batch from `waiting` to `under_way`; its size and its marks."""
        waiting, taken = log.waiting, log.under_way
        size = count = marks = 0
        while waiting:
            append = waiting[0]
            if taken:
                is_other = (append.incarnation, append.epoch) != (taken[0].incarnation, taken[0].epoch)
                is_long = size + append.size_bytes > self.settings.batch_bytes
                if is_other or is_long or count + len(append.segments) > self.settings.batch_segments:
                    break
            taken.append(waiting.popleft())
            size += append.size_bytes
            count += len(append.segments)
            marks |= append.marks
        return size, marks

    def _write(self, leaving: Sequence[_Leaving]) -> list[tuple[Batch, Place]]:
        """Write a group; in the writer's thread. Returns each batch as it is recorded, and where."""
        batches = [self._storable(batch) for _, batch, _, _ in leaving]
        entries = [
            Entry(encode_batch(batch), previous, batch.first)
            for batch, (_, _, _, previous) in zip(batches, leaving, strict=True)
        ]
        return list(zip(batches, self._files.write(entries), strict=True))

    def _storable(self, batch: Batch) -> Batch:
        """The batch with its long segments spilled, after all objects it names are kept."""
        segments: list[Segment | Spilled] = []
        is_spilled = False
        for segment in batch.segments:
            if isinstance(segment, Segment):
                for digest, data in segment.objects:
                    self._objects.put(data, digest)
                if segment.size_bytes > SEGMENT_MAX:
                    segment, data = segment.spill()
                    self._objects.put(data, segment.digest)
                    is_spilled = True
            segments.append(segment)
        return dataclasses.replace(batch, segments=tuple(segments)) if is_spilled else batch

    def _accept(self, log: _Log, batch: Batch, marks: int, place: Place) -> None:
        """A batch is in the log: say so to everybody."""
        done, log.under_way = log.under_way, []
        if log.tail.incarnation != batch.incarnation:
            log.begin = log.index.count + 1
        log.index.add(batch.first, place)
        log.tail.incarnation, log.tail.epoch = batch.incarnation, batch.epoch
        log.tail.advance(log.index.count, batch.next_seq, batch.head, marks)
        for append in done:
            self._tell(append.on_done, None)
        if log.watcher is not None:
            self._tell(log.watcher, batch)

    def _refuse(self, error: BaseException, ran: Ran) -> None:
        """Nothing that waits gets into the log; nothing new is taken until a probe does."""
        self.refusing, self.refusal = True, str(error) or type(error).__name__
        self._dirty.clear()
        fallen: list[_Append] = []
        for log in self._logs.values():
            fallen += log.under_way
            fallen += log.waiting
            log.under_way = []
            log.waiting.clear()
            log.next_seq = log.tail.next_seq
        for append in fallen:
            self._tell(append.on_done, self._unavailable(ran))

    def _unavailable(self, ran: Ran) -> Unavailable:
        why = self.refusal or "the store is closing"
        return Unavailable(
            f"the chain cannot be written in {self._directory}: {why}. Fix: make room on that disk, or repair it",
            ran=ran,
        )

    def _tell(self, listener: Callable[[T], None], what: T) -> None:
        """Call a listener; one that raises is reported to the loop and hurts nobody else."""
        try:
            listener(what)
        except Exception as broken:  # noqa: BLE001  # whoever raised, the other actors' appends are decided too
            context = {"message": "a listener of the chain store raised", "exception": broken}
            asyncio.get_running_loop().call_exception_handler(context)


def _nothing_of(actor: str, directory: Path) -> ActorNotFound:
    return ActorNotFound(f"no chain of {actor!r} is kept in {directory}")
