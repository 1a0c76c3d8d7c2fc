"""The log files of one data directory: appended in groups, rotated by size, scanned at the start.

Invariants:

* A group of records is written in one go behind the last one that was acknowledged, and is acknowledged only when it
  is there as a whole (and synced, when the policy is `always`). A group that fails is cut off again; if even that or
  the sync fails, the next group begins a new file, whose header says where this one ends.
* One process writes a directory: the lock is the kernel's, held by an open file, so that it ends with the process.
* Nothing here knows asyncio; one thread calls `write`, `sync` and `probe`. Readers open the files for themselves.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from theater_bus.errors import ChainTampered, ConfigurationError
from theater_bus.host.chain.frame import (
    FILE_HEADER_BYTES,
    HEADER_BYTES,
    NOWHERE,
    Frame,
    Place,
    Scan,
    file_header,
    frame,
    parse_file_header,
    scan,
)
from theater_bus.host.chain.objects import sync_directory

__all__ = ["Cut", "Entry", "FsyncPolicy", "LogFiles", "log_name"]

FsyncPolicy: TypeAlias = Literal["always", "interval", "never"]


class Entry(NamedTuple):
    """What is to be written: a payload, where the actor's record before it lies, and its first sequence."""

    payload: bytes
    previous: Place
    first: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A torn end that recovery cut off: a write that was under way and that nobody was told about."""

    file: str
    offset: int
    size_bytes: int


class LogFiles:
    """The log files in `directory`. Made by `LogFiles.open`; close it to release the lock."""

    def __init__(self, directory: Path, policy: FsyncPolicy, rotate_bytes: int, lock: int) -> None:
        self.cuts: list[Cut] = []
        self.directory = directory
        self._policy = policy
        self._rotate_bytes = rotate_bytes
        self._lock = lock
        self._fd = -1
        self._number = 0
        self._previous_end = 0
        self._end = 0
        self._synced_end = 0
        self._unsynced = False
        self._spoilt = False
        self._sealed = True

    @classmethod
    def open(cls, directory: Path, *, policy: FsyncPolicy = "always", rotate_bytes: int = 64 << 20) -> LogFiles:
        """Lock the directory, making it when it is not there. Read it with `recover` before writing.

        Raises `ConfigurationError` when another process uses it.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _locked(directory / "lock")
        files = directory / "log"
        files.mkdir(exist_ok=True)
        sync_directory(directory)
        return cls(files, policy, rotate_bytes, lock)

    def recover(self, take: Callable[[Place, Frame], None]) -> None:
        """Pass all records to `take`, oldest first; cut a torn end off the last file; be ready to write.

        Raises `ChainTampered` for anything else that is wrong, naming file and byte.
        """
        numbers = sorted(int(path.stem) for path in self.directory.glob("*.log"))
        if numbers != list(range(1, len(numbers) + 1)):
            raise ChainTampered(f"{self.directory}: log files are missing, there are only {numbers}")
        if numbers and self._drop_unborn(numbers[-1]):
            numbers.pop()
        for number, end in zip(numbers, [*self._previous_ends(numbers), None], strict=False):
            self._recover_file(number, end, take)
        if not numbers:
            self._begin_file(1, 0)
            return
        self._fd = os.open(self.directory / log_name(self._number), os.O_RDWR | os.O_CLOEXEC)
        os.fsync(self._fd)
        self._synced_end = self._end

    def write(self, entries: Sequence[Entry]) -> list[Place]:
        """Append a group of records; returns where each lies. On return it survives what the policy says.

        Raises `OSError` when it is not in the log: then nothing of the group is.
        """
        size = sum(HEADER_BYTES + len(entry.payload) for entry in entries)
        full = self._end + size > self._rotate_bytes and self._end > FILE_HEADER_BYTES
        if full or self._spoilt:
            self._rotate()
        group = self._end
        settled = self._synced_end if self._policy == "interval" else group
        places: list[Place] = []
        buffers: list[bytes] = []
        at = group
        for payload, previous, first in entries:
            buffers.append(frame(payload, previous, settled, first))
            places.append(Place(self._number, at))
            at += len(buffers[-1])
        try:
            _write_all(self._fd, buffers, group)
            if self._policy == "always":
                self._unsynced = True
                self.sync()
        except OSError:
            self._cut_back(group)
            raise
        self._end = at
        self._sealed = False
        self._unsynced = self._policy != "always"
        return places

    def probe(self) -> None:
        """Try whether the disk takes and syncs a record again. Raises `OSError` when it does not."""
        self.write([Entry(b"", NOWHERE, 0)])
        self.sync(force=True)

    def sync(self, *, force: bool = False) -> None:
        """Make everything written so far durable. Raises `OSError`; the next write then begins a new file."""
        if self._unsynced or force:
            try:
                os.fdatasync(self._fd)
            except OSError:
                self._spoilt = True
                raise
            self._unsynced = False
            self._synced_end = self._end

    def seal(self) -> None:
        """Protect what was written last: behind this empty record, damage to it is not taken for a torn end."""
        if not self._sealed:
            self.sync()
            self.write([Entry(b"", NOWHERE, 0)])
            self.sync()
            self._sealed = True

    def close(self) -> None:
        """Close the files and release the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        os.close(self._lock)

    def _recover_file(self, number: int, previous_end: int | None, take: Callable[[Place, Frame], None]) -> None:
        """Scan one file; `previous_end` is where it ends by the header of the next, None for the last one."""
        path = self.directory / log_name(number)
        data = path.read_bytes()
        found = Scan(FILE_HEADER_BYTES, len(data))
        for record in scan(data[:previous_end], path.name, found):
            if record.payload:
                take(Place(number, record.offset), record)
        if previous_end is not None and found.end != previous_end:
            raise ChainTampered(
                f"{path.name}: the record at byte {found.end} is damaged (the file went on to byte {previous_end}). "
                "Fix: restore the file from a copy"
            )
        self._previous_end, self._number, self._end = self._end, number, found.end
        if previous_end is None and found.torn_bytes:
            self.cuts.append(Cut(path.name, found.end, found.torn_bytes))
            os.truncate(path, found.end)

    def _previous_ends(self, numbers: Sequence[int]) -> list[int]:
        """Where each file but the last ends, from the header of the one after it."""
        ends: list[int] = []
        for number in numbers:
            path = self.directory / log_name(number)
            with open(path, "rb") as file:
                header = parse_file_header(file.read(FILE_HEADER_BYTES))
            if header is None or header[0] != number:
                raise ChainTampered(f"{path.name}: the header is damaged. Fix: restore the file from a copy")
            ends.append(header[1])
        return ends[1:]

    def _drop_unborn(self, number: int) -> bool:
        """Remove the last file when it never got its header: nothing can be in it."""
        path = self.directory / log_name(number)
        size = path.stat().st_size
        if size > FILE_HEADER_BYTES or parse_file_header(path.read_bytes()) is not None:
            return False
        self.cuts.append(Cut(path.name, 0, size))
        path.unlink()
        return True

    def _begin_file(self, number: int, previous_end: int) -> None:
        path = self.directory / log_name(number)
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, [file_header(number, previous_end)], 0)
            os.fsync(fd)
            sync_directory(self.directory)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._number, self._previous_end = fd, number, previous_end
        self._end = self._synced_end = FILE_HEADER_BYTES
        self._unsynced = self._spoilt = False

    def _rotate(self) -> None:
        if not self._spoilt:
            self.sync()
        if self._end > FILE_HEADER_BYTES:
            self._begin_file(self._number + 1, self._end)
        else:
            self._begin_file(self._number, self._previous_end)

    def _cut_back(self, group: int) -> None:
        """Take a failed group off the file again; when that fails too, as when a sync did, go on in another file."""
        try:
            os.ftruncate(self._fd, group)
        except OSError:
            self._spoilt = True


def log_name(number: int) -> str:
    """The name of a log file."""
    return f"{number:08}.log"


def _locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise ConfigurationError(
            "data directory",
            f"{path.parent} is in use by process {owner or 'unknown'}",
            "stop that host, or give this one a directory of its own",
        ) from None
    with suppress(OSError):  # the number is a hint for people; a full disk must not keep a host from starting
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _write_all(fd: int, buffers: Sequence[bytes], offset: int) -> None:
    data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
