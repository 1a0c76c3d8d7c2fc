"""The part of the file system that an actor may touch, opened component by component.

Invariants: what was granted is exactly what is opened: each component of a path is opened relative to the one before
it, and a symbolic link ends the walk wherever it stands, so no link, and no rename by anybody at any moment, leads out
of a grant; only regular files are opened; opening never waits for a peer. All of it blocks: call it off the loop.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final, Literal, NamedTuple

from theater_bus.capability import PATHS, CapabilityError

__all__ = ["Entry", "Purpose", "Tree"]

Purpose = Literal["read", "write"]

PATH_BYTES: Final = 4096
READ_BYTES: Final = 1024 * 1024
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Entry(NamedTuple):
    """A name in an open folder. `path` is what the guest called it; `is_top` says that the folder is not granted."""

    folder: int
    name: str
    path: str
    is_top: bool = False


class Tree:
    """What `read` and `write` (absolute paths) allow, and the folder of the actor's own for relative paths."""

    def __init__(self, read: tuple[str, ...], write: tuple[str, ...], own: Path | None) -> None:
        self._granted = {"read": PATHS.read(list(read)), "write": PATHS.read(list(write))}
        self._own = own

    @contextmanager
    def entry(self, path: str, *purposes: Purpose) -> Iterator[Entry]:
        """The place that a path names, whether anything is there or not, open until the block ends.

        One of `purposes` must be granted. Raises `CapabilityError`, also for an `OSError` in the block.
        """
        parts = self._parts(path, purposes)
        if not parts:
            raise CapabilityError(f"{path!r:.200} is a whole tree. Fix: name something in it")
        with _told(path):
            folder = self._walk(path, parts[:-1])
            try:
                yield Entry(folder, parts[-1], path, self._is_top(path, parts, purposes))
            finally:
                os.close(folder)

    @contextmanager
    def folder(self, path: str, purpose: Purpose) -> Iterator[int]:
        """An open folder, for its entries. Raises as `entry`."""
        parts = self._parts(path, (purpose,))
        with _told(path):
            found = self._walk(path, parts)
            try:
                readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=found)
            finally:
                os.close(found)
            try:
                yield readable
            finally:
                os.close(readable)

    def exists(self, path: str, *purposes: Purpose) -> bool:
        """Whether there is anything at a path. Raises as `entry`, but not for what is missing above it."""
        parts = self._parts(path, purposes)
        with _told(path):
            try:
                folder = self._walk(path, parts[:-1])
            except FileNotFoundError:
                return False
            try:
                return not parts or look(Entry(folder, parts[-1], path)) is not None
            finally:
                os.close(folder)

    def _is_top(self, path: str, parts: list[str], purposes: tuple[Purpose, ...]) -> bool:
        above = "/" + "/".join(parts[:-1])
        return path.startswith("/") and not any(self._granted[purpose].allows(above) for purpose in purposes)

    def _parts(self, path: str, purposes: tuple[Purpose, ...]) -> list[str]:
        if not path or "\0" in path or len(path.encode()) > PATH_BYTES:
            raise CapabilityError(
                f"{path!r:.80} is no path: it is empty, holds a NUL, or is longer than {PATH_BYTES} bytes"
            )
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise CapabilityError(f"{path!r:.200} holds `..`. Fix: write the path that it leads to")
        if path.startswith("/"):
            if not any(self._granted[purpose].allows(path) for purpose in purposes):
                name = purposes[0]
                raise CapabilityError(
                    f"{path!r:.200} is outside the grant filesystem.{name}. Fix: write `{name} = [{path!r:.200}]`, "
                    "or a path above it, under [capabilities.filesystem]; parent and host must allow it"
                )
        elif self._own is None:
            raise CapabilityError(
                f"{path!r:.200} is relative, and the actor has no folder of its own. Fix: write the whole path, or "
                "`own_dir = true` under [capabilities.filesystem]"
            )
        return parts

    def _walk(self, path: str, parts: list[str]) -> int:
        """The folder behind these components. The caller closes it."""
        if path.startswith("/"):
            found = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            assert self._own is not None
            found = os.open(self._own, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts:
            try:
                deeper = os.open(part, _FOLDER, dir_fd=found)
            except NotADirectoryError:
                refuse_link(Entry(found, part, path))
                raise
            finally:
                os.close(found)
            found = deeper
        return found


def read(entry: Entry, most: int) -> bytes:
    """The content of a regular file. Raises `CapabilityError` for more than `most` bytes, and for what is no file."""
    descriptor = _open_regular(entry, os.O_RDONLY)
    try:
        # What /proc and its like hold has no size before it is read.
        _check_size(entry, os.fstat(descriptor).st_size, most)
        chunks: list[bytes] = []
        size = 0
        while chunk := os.read(descriptor, READ_BYTES):
            size += len(chunk)
            _check_size(entry, size, most)
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def write(entry: Entry, content: bytes) -> None:
    """Make a file or replace its content, on disk when this returns.

    The content is written beside the file, and renamed, so that nobody ever sees half of it; into the file itself where
    nothing but this file is granted.
    """
    aside = not entry.is_top
    found = look(entry)
    if found is not None:
        _check_regular(entry, found)
    mode = 0o666 if found is None else stat.S_IMODE(found.st_mode)
    name = f".{token_hex(8)}.theater" if aside else entry.name
    how = os.O_WRONLY | os.O_CREAT | _FILE | (os.O_EXCL if aside else os.O_TRUNC)
    try:
        descriptor = os.open(name, how, mode, dir_fd=entry.folder)
        try:
            _check_regular(entry, os.fstat(descriptor))
            if aside and found is not None:
                os.fchmod(descriptor, mode)
            _write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if aside:
            os.rename(name, entry.name, src_dir_fd=entry.folder, dst_dir_fd=entry.folder)
    except BaseException:
        if aside:
            with suppress(OSError):
                os.unlink(name, dir_fd=entry.folder)
        raise
    _sync(entry.folder)


def names(folder: int, most: int) -> list[str]:
    """The names in a folder, sorted. Raises `CapabilityError` for more than `most`."""
    found: list[str] = []
    with os.scandir(folder) as entries:
        for one in entries:
            found.append(os.fsencode(one.name).decode("utf-8", "replace"))
            if len(found) > most:
                raise CapabilityError(
                    f"the folder holds more than the grant filesystem.entries = {most} names. Fix: write "
                    f"`entries = {2 * most}` under [capabilities.filesystem]; parent and host must allow as much"
                )
    return sorted(found)


def remove_file(entry: Entry) -> None:
    """Remove a file or a link."""
    os.unlink(entry.name, dir_fd=entry.folder)
    _sync(entry.folder)


def make_folder(entry: Entry) -> None:
    """Make a folder."""
    os.mkdir(entry.name, dir_fd=entry.folder)
    _sync(entry.folder)


def remove_folder(entry: Entry) -> None:
    """Remove a folder with all that is in it, but none that is granted itself; links are removed, not followed."""
    if entry.is_top:
        raise CapabilityError(f"{entry.path!r:.200} is itself what filesystem.write grants, and stays")
    refuse_link(entry)
    shutil.rmtree(entry.name, dir_fd=entry.folder)
    _sync(entry.folder)


def look(entry: Entry) -> os.stat_result | None:
    """What is at an entry itself, or None for nothing."""
    try:
        return os.stat(entry.name, dir_fd=entry.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def refuse_link(entry: Entry) -> None:
    """Raise `CapabilityError` for a symbolic link."""
    found = look(entry)
    if found is not None and stat.S_ISLNK(found.st_mode):
        raise CapabilityError(
            f"{entry.name!r:.200} in {entry.path!r:.200} is a symbolic link, and none is followed. Fix: use the path "
            "that it leads to, and grant that"
        )


def _open_regular(entry: Entry, how: int) -> int:
    # A device can do things when it is opened, so it is looked at first.
    found = look(entry)
    if found is not None:
        _check_regular(entry, found)
    descriptor = os.open(entry.name, how | _FILE, dir_fd=entry.folder)
    try:
        _check_regular(entry, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_regular(entry: Entry, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        refuse_link(entry)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise CapabilityError(f"{entry.path!r:.200} is no file but a device, pipe or socket, and those are not opened")


def _check_size(entry: Entry, size: int, most: int) -> None:
    if size > most:
        raise CapabilityError(
            f"{entry.path!r:.200} has {size} bytes or more, and the grant filesystem.file_bytes is {most}. Fix: write "
            f"`file_bytes = {size}` under [capabilities.filesystem]; parent and host must allow as much"
        )


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync(folder: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What the system refuses is told in its own words, under the guest's name for it."""
    try:
        yield
    except OSError as error:
        raise CapabilityError(f"{path!r:.200}: {error.strerror or type(error).__name__}") from error
