"""Compiled modules on disk.

A compiled artifact becomes machine code of this process when it is mapped, so a corrupt or foreign one is undefined
behaviour. Hence:

Invariants
* The directory is ours: owned by this user, mode 0700, not a symbolic link.
* A file's name holds the SHA-256 of the module, a key of engine version and configuration, and the SHA-256 of the
  artifact itself, which is checked on an open file; what was checked is what is mapped.
* Files are written aside and renamed. Nothing is ever fetched from elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from theater_bus.errors import ConfigurationError

__all__ = ["ArtifactCache"]

T = TypeVar("T")

SUFFIX = ".cwasm"


class ArtifactCache:
    """A directory of artifacts of one engine configuration, to be claimed first.

    All methods block: call them off the loop.
    """

    def __init__(self, directory: Path, key: str, max_bytes: int, corrupt: Callable[[Path, str], None]) -> None:
        self.directory, self._key, self._max_bytes, self._corrupt = directory, key, max_bytes, corrupt

    def claim(self) -> None:
        """Make the directory. Raises `ConfigurationError` for one that others can write to."""
        _claim(self.directory)

    def load(self, sha256: str, use: Callable[[str], T]) -> T | None:
        """`use(path)` on the verified artifact of the module, or None.

        What does not verify, or what `use` refuses with a ValueError, is reported and removed.
        """
        for path in sorted(self.directory.glob(f"{sha256}-{self._key}-*{SUFFIX}")):
            try:
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._discard(path, f"cannot be opened: {error.strerror}")
                continue
            try:
                problem = _problem(file, path)
                if problem is None:
                    os.utime(file)
                    return use(f"/proc/self/fd/{file}" if os.path.isdir("/proc/self/fd") else str(path))
            except ValueError as error:
                problem = str(error)
            finally:
                os.close(file)
            self._discard(path, problem)
        return None

    def save(self, sha256: str, artifact: bytes) -> None:
        """Keep an artifact that this process compiled. A full disk is not an error, only a slower next start."""
        name = f"{sha256}-{self._key}-{hashlib.sha256(artifact).hexdigest()}{SUFFIX}"
        with suppress(OSError):
            file, aside = tempfile.mkstemp(dir=self.directory, prefix=".writing-")
            try:
                with os.fdopen(file, "wb") as stream:
                    stream.write(artifact)
                os.rename(aside, self.directory / name)
            except OSError:
                with suppress(OSError):
                    os.unlink(aside)
                raise
            self._prune()

    def _prune(self) -> None:
        """Remove the artifacts unused for longest until the rest fits."""
        entries = [(path.stat(), path) for path in self.directory.glob(f"*{SUFFIX}")]
        entries.sort(key=lambda entry: entry[0].st_mtime_ns)
        total = sum(status.st_size for status, _ in entries)
        for status, path in entries[:-1]:
            if total <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size

    def _discard(self, path: Path, reason: str) -> None:
        self._corrupt(path, reason)
        with suppress(OSError):
            path.unlink()


def _claim(directory: Path) -> None:
    """Make the directory, or refuse one that others can write to."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise ConfigurationError("cache_dir", f"{directory}: {error.strerror}") from None
    fix = "give a directory of its own, with mode 0700"
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError("cache_dir", f"{directory} is not a directory", fix)
    if status.st_uid != os.getuid():
        raise ConfigurationError("cache_dir", f"{directory} belongs to user {status.st_uid}", fix)
    if status.st_mode & 0o077:
        raise ConfigurationError("cache_dir", f"{directory} has mode {stat.S_IMODE(status.st_mode):04o}", fix)


def _problem(file: int, path: Path) -> str | None:
    """Why the open file is not what its name says, or None."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        return "it is not a file of ours alone"
    digest = hashlib.sha256()
    while chunk := os.read(file, 1 << 20):
        digest.update(chunk)
    found = digest.hexdigest()
    wanted = path.name.removesuffix(SUFFIX).rsplit("-", 1)[-1]
    return None if found == wanted else f"its bytes hash to {found}"
