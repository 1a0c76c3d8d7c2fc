"""`wasi:filesystem`: the directories that were granted, and nothing outside of them.

Invariants: a path is taken apart here and walked one directory at a time with descriptors of the kernel, so that
neither `..` nor a symbolic link nor a rename in the middle leads out of a directory; symbolic links are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial, wraps
from threading import Lock
from typing import Any

from theater_bus.capability import CapabilityError, HandlerError
from theater_bus_wasi.streams import MOST, InputStream, OutputStream
from theater_bus_wasi.table import Group, named

__all__ = ["Descriptor", "Filesystem"]

BILLION = 1_000_000_000
_CODES = {
    errno.EACCES: "access",
    errno.EPERM: "not-permitted",
    errno.EEXIST: "exist",
    errno.ENOENT: "no-entry",
    errno.ENOTDIR: "not-directory",
    errno.EISDIR: "is-directory",
    errno.ENOTEMPTY: "not-empty",
    errno.ELOOP: "loop",
    errno.EINVAL: "invalid",
    errno.ENAMETOOLONG: "name-too-long",
    errno.ENOSPC: "insufficient-space",
    errno.EDQUOT: "quota",
    errno.EROFS: "read-only",
    errno.EFBIG: "file-too-large",
    errno.EXDEV: "cross-device",
    errno.EBUSY: "busy",
    errno.EMFILE: "insufficient-memory",
}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _on_a_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method that waits for the disk, off the loop; what the system refuses is WASI's error code.

    The guest gives the number of a descriptor and the method gets the descriptor. What the method returns to be held
    gets its number here, on the loop: an operation that was cut meanwhile, and its thread with it, leaves nothing in
    the table of the next guest.
    """

    @wraps(function)
    async def run(self: Filesystem, number: int, *args: Any) -> Any:
        found = self._descriptor(number)
        work = asyncio.get_running_loop().run_in_executor(None, partial(function, self, found, *args))
        try:
            made = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_let_go)
            raise
        except OSError as error:
            raise CapabilityError(_CODES.get(error.errno or 0, "io")) from error
        except OverflowError as error:  # an offset or a size that no file can have
            raise CapabilityError("invalid") from error
        return self.table.put(made) if isinstance(made, Descriptor | Entries) else made

    return run


def _let_go(work: asyncio.Future[Any]) -> None:
    """Close what a thread made for an operation that is over."""
    made = None if work.cancelled() or work.exception() else work.result()
    if isinstance(made, Descriptor):
        made.close()


class Descriptor:
    """An open file or directory. `writable` is whether writing was granted, and asked for.

    Invariant: its number of the kernel stays its own as long as a thread uses it; once closed, it could be another's.
    """

    def __init__(self, file: int, *, writable: bool, readable: bool = True) -> None:
        self.writable, self.readable = writable, readable
        self.is_directory = stat.S_ISDIR(os.fstat(file).st_mode)
        self._file = file
        self._lock = Lock()
        self._users = 0
        self._closed = False

    @contextlib.contextmanager
    def use(self) -> Iterator[int]:
        """The kernel's number, which is valid inside. Raises an error that ends the operation once it is closed."""
        with self._lock:
            if self._closed:
                raise HandlerError("wasi: the descriptor is closed", reason="gone")
            self._users += 1
        try:
            yield self._file
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._closed and not self._users
        if last:
            os.close(self._file)

    def close(self) -> None:
        """Close it, when nobody uses it any more; twice does no harm."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            last = not self._users
        if last:
            os.close(self._file)

    def require_file(self, *, write: bool = False) -> None:
        """Raises WASI's `is-directory`, and `read-only` where writing was not granted."""
        if self.is_directory:
            raise CapabilityError("is-directory")
        if write:
            self.require_write()

    def require_write(self) -> None:
        """Raises WASI's `read-only` where writing was not granted."""
        if not self.writable:
            raise CapabilityError("read-only")


class FileInput(InputStream):
    """A file read from some place on."""

    def __init__(self, file: int, at: int) -> None:
        self._file, self._at = os.dup(file), at

    def read(self, most: int) -> bytes | None:
        """The next bytes, None at the end."""
        data = os.pread(self._file, most, self._at)
        self._at += len(data)
        return data or None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class FileOutput(OutputStream):
    """A file written from some place on; None appends."""

    def __init__(self, file: int, at: int | None) -> None:
        self._file, self._at = os.dup(file), at

    def room(self) -> int | None:
        """As much as one call writes."""
        return MOST

    def write(self, data: bytes) -> None:
        """Write all of it."""
        while data:
            at = os.fstat(self._file).st_size if self._at is None else self._at
            count = os.pwrite(self._file, data, at)
            data = data[count:]
            if self._at is not None:
                self._at += count

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class Entries:
    """A directory being read."""

    def __init__(self, entries: list[dict[str, str]]) -> None:
        self.entries = entries


def _type(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "directory",
        stat.S_IFREG: "regular-file",
        stat.S_IFLNK: "symbolic-link",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "character-device",
        stat.S_IFBLK: "block-device",
    }
    return kinds.get(stat.S_IFMT(mode), "unknown")


def _time(ns: int) -> dict[str, int]:
    seconds, nanoseconds = divmod(ns, BILLION)
    return {"seconds": max(0, seconds), "nanoseconds": nanoseconds}


def _stat(found: os.stat_result) -> dict[str, Any]:
    return {
        "type": _type(found.st_mode),
        "link-count": found.st_nlink,
        "size": found.st_size,
        "data-access-timestamp": _time(found.st_atime_ns),
        "data-modification-timestamp": _time(found.st_mtime_ns),
        "status-change-timestamp": _time(found.st_ctime_ns),
    }


def _hash(found: os.stat_result) -> dict[str, int]:
    return {"lower": found.st_ino, "upper": found.st_dev}


def _walk(directory: Descriptor, path: str) -> tuple[int, str]:
    """The directory that holds the last part of a path, as a descriptor to be closed, and that part ('.': itself)."""
    if not directory.is_directory:
        raise CapabilityError("not-directory")
    if path.startswith("/") or "\0" in path:
        raise CapabilityError("not-permitted")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    with directory.use() as file:
        held = [os.dup(file)]
    try:
        for part in parts[:-1]:
            if part != "..":
                held.append(os.open(part, _DIRECTORY, dir_fd=held[-1]))
            elif len(held) > 1:
                os.close(held.pop())
            else:
                raise CapabilityError("not-permitted")
        last = parts[-1] if parts else "."
        if last == "..":
            if len(held) == 1:
                raise CapabilityError("not-permitted")
            os.close(held.pop())
            last = "."
        return held.pop(), last
    finally:
        for one in held:
            os.close(one)


class Filesystem(Group):
    """`wasi:filesystem/preopens` and `wasi:filesystem/types`."""

    @named("wasi:filesystem/preopens.get-directories")
    def get_directories(self) -> list[list[Any]]:
        found = []
        for path in dict.fromkeys([*self.settings.read, *self.settings.write]):
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            found.append([self.table.put(Descriptor(file, writable=path in self.settings.write)), path])
        return found

    @named("wasi:filesystem/types.filesystem-error-code")
    def filesystem_error_code(self, error: int) -> None:
        return None

    # -- files -------------------------------------------------------------------------------------------------------

    @named("wasi:filesystem/types.[method]descriptor.read-via-stream")
    def read_via_stream(self, number: int, offset: int) -> int:
        found = self._descriptor(number)
        found.require_file()
        with found.use() as file:
            return self.table.put(FileInput(file, offset))

    @named("wasi:filesystem/types.[method]descriptor.write-via-stream")
    def write_via_stream(self, number: int, offset: int) -> int:
        return self._output(number, offset)

    @named("wasi:filesystem/types.[method]descriptor.append-via-stream")
    def append_via_stream(self, number: int) -> int:
        return self._output(number, None)

    @named("wasi:filesystem/types.[method]descriptor.read")
    @_on_a_thread
    def read(self, found: Descriptor, length: int, offset: int) -> list[Any]:
        found.require_file()
        with found.use() as file:
            data = os.pread(file, min(length, MOST), offset)
            return [data, offset + len(data) >= os.fstat(file).st_size]

    @named("wasi:filesystem/types.[method]descriptor.write")
    @_on_a_thread
    def write(self, found: Descriptor, data: bytes, offset: int) -> int:
        found.require_file(write=True)
        with found.use() as file:
            return os.pwrite(file, data, offset)

    @named("wasi:filesystem/types.[method]descriptor.set-size")
    @_on_a_thread
    def set_size(self, found: Descriptor, size: int) -> None:
        found.require_file(write=True)
        with found.use() as file:
            os.ftruncate(file, size)

    @named(
        "wasi:filesystem/types.[method]descriptor.sync",
        "wasi:filesystem/types.[method]descriptor.sync-data",
    )
    @_on_a_thread
    def sync(self, found: Descriptor) -> None:
        with found.use() as file:
            os.fsync(file)

    @named("wasi:filesystem/types.[method]descriptor.advise")
    def advise(self, number: int, offset: int, length: int, advice: str) -> None:
        self._descriptor(number)

    @named("wasi:filesystem/types.[method]descriptor.get-flags")
    def get_flags(self, number: int) -> list[str]:
        found = self._descriptor(number)
        flags = ["read"] if found.readable else []
        if found.writable:
            flags.append("mutate-directory" if found.is_directory else "write")
        return flags

    @named("wasi:filesystem/types.[method]descriptor.get-type")
    def get_type(self, number: int) -> str:
        with self._descriptor(number).use() as file:
            return _type(os.fstat(file).st_mode)

    @named("wasi:filesystem/types.[method]descriptor.stat")
    @_on_a_thread
    def stat(self, found: Descriptor) -> dict[str, Any]:
        with found.use() as file:
            return _stat(os.fstat(file))

    @named("wasi:filesystem/types.[method]descriptor.metadata-hash")
    @_on_a_thread
    def metadata_hash(self, found: Descriptor) -> dict[str, int]:
        with found.use() as file:
            return _hash(os.fstat(file))

    @named("wasi:filesystem/types.[method]descriptor.is-same-object")
    def is_same_object(self, number: int, other: int) -> bool:
        with self._descriptor(number).use() as one, self._descriptor(other).use() as two:
            return os.path.sameopenfile(one, two)

    # -- directories -------------------------------------------------------------------------------------------------

    @named("wasi:filesystem/types.[method]descriptor.open-at")
    @_on_a_thread
    def open_at(
        self, directory: Descriptor, _follow: list[str], path: str, how: list[str], flags: list[str]
    ) -> Descriptor:
        writes = bool({"write", "mutate-directory"} & set(flags)) or bool({"create", "truncate"} & set(how))
        if writes:
            directory.require_write()
        parent, name = _walk(directory, path)
        try:
            file = os.open(name, _open_flags(how, flags), 0o600, dir_fd=parent)
        finally:
            os.close(parent)
        return Descriptor(file, writable=directory.writable and writes, readable="read" in flags)

    @named("wasi:filesystem/types.[method]descriptor.stat-at")
    @_on_a_thread
    def stat_at(self, directory: Descriptor, _follow: list[str], path: str) -> dict[str, Any]:
        return _stat(_stat_at(directory, path))

    @named("wasi:filesystem/types.[method]descriptor.metadata-hash-at")
    @_on_a_thread
    def metadata_hash_at(self, directory: Descriptor, _follow: list[str], path: str) -> dict[str, int]:
        return _hash(_stat_at(directory, path))

    @named("wasi:filesystem/types.[method]descriptor.create-directory-at")
    @_on_a_thread
    def create_directory_at(self, directory: Descriptor, path: str) -> None:
        _change(directory, path, lambda parent, name: os.mkdir(name, 0o700, dir_fd=parent))

    @named("wasi:filesystem/types.[method]descriptor.remove-directory-at")
    @_on_a_thread
    def remove_directory_at(self, directory: Descriptor, path: str) -> None:
        _change(directory, path, lambda parent, name: os.rmdir(name, dir_fd=parent))

    @named("wasi:filesystem/types.[method]descriptor.unlink-file-at")
    @_on_a_thread
    def unlink_file_at(self, directory: Descriptor, path: str) -> None:
        _change(directory, path, lambda parent, name: os.unlink(name, dir_fd=parent))

    @named("wasi:filesystem/types.[method]descriptor.rename-at")
    async def rename_at(self, number: int, path: str, other: int, new_path: str) -> None:
        await self._rename(number, path, self._descriptor(other), new_path)

    @_on_a_thread
    def _rename(self, directory: Descriptor, path: str, target: Descriptor, new_path: str) -> None:
        target.require_write()
        new_parent, new_name = _walk(target, new_path)
        try:
            _change(
                directory,
                path,
                lambda parent, name: os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent),
            )
        finally:
            os.close(new_parent)

    @named("wasi:filesystem/types.[method]descriptor.read-directory")
    @_on_a_thread
    def read_directory(self, directory: Descriptor) -> Entries:
        if not directory.is_directory:
            raise CapabilityError("not-directory")
        found = []
        with directory.use() as file:
            for name in sorted(os.listdir(file)):
                with contextlib.suppress(FileNotFoundError):  # gone since
                    mode = os.stat(name, dir_fd=file, follow_symlinks=False).st_mode
                    found.append({"type": _type(mode), "name": name})
        return Entries(found)

    @named("wasi:filesystem/types.[method]directory-entry-stream.read-directory-entry")
    def read_directory_entry(self, number: int) -> dict[str, str] | None:
        entries = self.table.get(number, Entries).entries
        return entries.pop(0) if entries else None

    @named(
        "wasi:filesystem/types.[method]descriptor.link-at",
        "wasi:filesystem/types.[method]descriptor.symlink-at",
        "wasi:filesystem/types.[method]descriptor.readlink-at",
    )
    def link_at(self, *_args: Any) -> Any:
        raise CapabilityError("not-permitted")

    @named(
        "wasi:filesystem/types.[method]descriptor.set-times",
        "wasi:filesystem/types.[method]descriptor.set-times-at",
    )
    def set_times(self, *_args: Any) -> Any:
        raise CapabilityError("unsupported")

    # ----------------------------------------------------------------------------------------------------------------

    def _descriptor(self, number: int) -> Descriptor:
        return self.table.get(number, Descriptor)

    def _output(self, number: int, at: int | None) -> int:
        found = self._descriptor(number)
        found.require_file(write=True)
        with found.use() as file:
            return self.table.put(FileOutput(file, at))


def _stat_at(directory: Descriptor, path: str) -> os.stat_result:
    parent, name = _walk(directory, path)
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def _change(directory: Descriptor, path: str, change: Callable[[int, str], None]) -> None:
    directory.require_write()
    parent, name = _walk(directory, path)
    try:
        change(parent, name)
    finally:
        os.close(parent)


def _open_flags(how: list[str], flags: list[str]) -> int:
    found = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    for name, flag in (
        ("create", os.O_CREAT),
        ("directory", os.O_DIRECTORY),
        ("exclusive", os.O_EXCL),
        ("truncate", os.O_TRUNC),
    ):
        if name in how:
            found |= flag
    if "write" in flags:
        return found | (os.O_RDWR if "read" in flags else os.O_WRONLY)
    return found | os.O_RDONLY
