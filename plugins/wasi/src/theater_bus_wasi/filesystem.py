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
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from theater_bus.capability import CapabilityError
from theater_bus_wasi.streams import MOST, InputStream, OutputStream
from theater_bus_wasi.table import Group, named

__all__ = ["Descriptor", "Filesystem"]

F = TypeVar("F", bound=Callable[..., Any])
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


def _on_a_thread(function: F) -> F:
    """A method that waits for the disk, off the loop; what the system refuses is WASI's error code."""

    @wraps(function)
    async def run(self: Any, *args: Any) -> Any:
        try:
            return await asyncio.to_thread(function, self, *args)
        except OSError as error:
            raise CapabilityError(_CODES.get(error.errno or 0, "io")) from error
        except OverflowError as error:  # an offset or a size that no file can have
            raise CapabilityError("invalid") from error

    return run  # type: ignore[return-value]


class Descriptor:
    """An open file or directory. `writable` is whether writing was granted, and asked for."""

    def __init__(self, file: int, *, writable: bool, readable: bool = True) -> None:
        self.file, self.writable, self.readable = file, writable, readable
        self.is_directory = stat.S_ISDIR(os.fstat(file).st_mode)

    def close(self) -> None:
        """Close it; twice does no harm."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)

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
    held = [os.dup(directory.file)]
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
        return self.table.put(FileInput(self._file(number).file, offset))

    @named("wasi:filesystem/types.[method]descriptor.write-via-stream")
    def write_via_stream(self, number: int, offset: int) -> int:
        return self.table.put(FileOutput(self._file(number, write=True).file, offset))

    @named("wasi:filesystem/types.[method]descriptor.append-via-stream")
    def append_via_stream(self, number: int) -> int:
        return self.table.put(FileOutput(self._file(number, write=True).file, None))

    @named("wasi:filesystem/types.[method]descriptor.read")
    @_on_a_thread
    def read(self, number: int, length: int, offset: int) -> list[Any]:
        file = self._file(number)
        data = os.pread(file.file, min(length, MOST), offset)
        return [data, offset + len(data) >= os.fstat(file.file).st_size]

    @named("wasi:filesystem/types.[method]descriptor.write")
    @_on_a_thread
    def write(self, number: int, data: bytes, offset: int) -> int:
        return os.pwrite(self._file(number, write=True).file, data, offset)

    @named("wasi:filesystem/types.[method]descriptor.set-size")
    @_on_a_thread
    def set_size(self, number: int, size: int) -> None:
        os.ftruncate(self._file(number, write=True).file, size)

    @named(
        "wasi:filesystem/types.[method]descriptor.sync",
        "wasi:filesystem/types.[method]descriptor.sync-data",
    )
    @_on_a_thread
    def sync(self, number: int) -> None:
        os.fsync(self._descriptor(number).file)

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
        return _type(os.fstat(self._descriptor(number).file).st_mode)

    @named("wasi:filesystem/types.[method]descriptor.stat")
    @_on_a_thread
    def stat(self, number: int) -> dict[str, Any]:
        return _stat(os.fstat(self._descriptor(number).file))

    @named("wasi:filesystem/types.[method]descriptor.metadata-hash")
    @_on_a_thread
    def metadata_hash(self, number: int) -> dict[str, int]:
        return _hash(os.fstat(self._descriptor(number).file))

    @named("wasi:filesystem/types.[method]descriptor.is-same-object")
    def is_same_object(self, number: int, other: int) -> bool:
        return os.path.sameopenfile(self._descriptor(number).file, self._descriptor(other).file)

    # -- directories -------------------------------------------------------------------------------------------------

    @named("wasi:filesystem/types.[method]descriptor.open-at")
    @_on_a_thread
    def open_at(self, number: int, _follow: list[str], path: str, how: list[str], flags: list[str]) -> int:
        directory = self._descriptor(number)
        writes = bool({"write", "mutate-directory"} & set(flags)) or bool({"create", "truncate"} & set(how))
        if writes:
            directory.require_write()
        parent, name = _walk(directory, path)
        try:
            file = os.open(name, _open_flags(how, flags), 0o600, dir_fd=parent)
        finally:
            os.close(parent)
        return self.table.put(Descriptor(file, writable=directory.writable and writes, readable="read" in flags))

    @named("wasi:filesystem/types.[method]descriptor.stat-at")
    @_on_a_thread
    def stat_at(self, number: int, _follow: list[str], path: str) -> dict[str, Any]:
        return _stat(self._stat_at(number, path))

    @named("wasi:filesystem/types.[method]descriptor.metadata-hash-at")
    @_on_a_thread
    def metadata_hash_at(self, number: int, _follow: list[str], path: str) -> dict[str, int]:
        return _hash(self._stat_at(number, path))

    @named("wasi:filesystem/types.[method]descriptor.create-directory-at")
    @_on_a_thread
    def create_directory_at(self, number: int, path: str) -> None:
        self._change(number, path, lambda parent, name: os.mkdir(name, 0o700, dir_fd=parent))

    @named("wasi:filesystem/types.[method]descriptor.remove-directory-at")
    @_on_a_thread
    def remove_directory_at(self, number: int, path: str) -> None:
        self._change(number, path, lambda parent, name: os.rmdir(name, dir_fd=parent))

    @named("wasi:filesystem/types.[method]descriptor.unlink-file-at")
    @_on_a_thread
    def unlink_file_at(self, number: int, path: str) -> None:
        self._change(number, path, lambda parent, name: os.unlink(name, dir_fd=parent))

    @named("wasi:filesystem/types.[method]descriptor.rename-at")
    @_on_a_thread
    def rename_at(self, number: int, path: str, other: int, new_path: str) -> None:
        target = self._descriptor(other)
        target.require_write()
        new_parent, new_name = _walk(target, new_path)
        try:
            self._change(
                number,
                path,
                lambda parent, name: os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent),
            )
        finally:
            os.close(new_parent)

    @named("wasi:filesystem/types.[method]descriptor.read-directory")
    @_on_a_thread
    def read_directory(self, number: int) -> int:
        directory = self._descriptor(number)
        if not directory.is_directory:
            raise CapabilityError("not-directory")
        found = []
        for name in sorted(os.listdir(directory.file)):
            with contextlib.suppress(FileNotFoundError):  # gone since
                mode = os.stat(name, dir_fd=directory.file, follow_symlinks=False).st_mode
                found.append({"type": _type(mode), "name": name})
        return self.table.put(Entries(found))

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

    def _file(self, number: int, *, write: bool = False) -> Descriptor:
        found = self._descriptor(number)
        if found.is_directory:
            raise CapabilityError("is-directory")
        if write:
            found.require_write()
        return found

    def _stat_at(self, number: int, path: str) -> os.stat_result:
        parent, name = _walk(self._descriptor(number), path)
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(parent)

    def _change(self, number: int, path: str, change: Callable[[int, str], None]) -> None:
        directory = self._descriptor(number)
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
