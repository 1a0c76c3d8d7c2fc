"""Stores in a directory, for the actors of one host, or of several that share the directory.

    BASE/stores/<store>/store.json        the owner
                        usage.json        what it holds; written again by a collection
                        lock              held by whoever changes the store, for a moment
                        data/ab/ab12…     content by its SHA-256; its time is when it was stored or labelled last
                        labels/<sha256>   a reference, a line break, the label
    BASE/owners/<owner>/<store>           empty: the stores of an owner

Invariants: files are written aside, synced and renamed, so none is ever seen half-written; a store is changed only
under its lock, which is the kernel's and ends with the process that holds it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from theater_bus_store.backend import Bounds, Busy, Collected, Damaged, Full, NoSuchStore, TooLong, Usage
from theater_bus_store.name import label_key

__all__ = ["StoreFiles"]

LOCK_S: Final = 10.0
LOCK_POLL_S: Final = 0.005
BATCH: Final = 256
"""Files that a collection removes under one hold of the lock."""


class StoreFiles:
    """The methods of `Backend`, blocking: call them off the loop. They raise `OSError` too."""

    def __init__(self, base: Path) -> None:
        self._stores = base / "stores"
        self._owners = base / "owners"

    def create(self, store: str, owner: str, most: int) -> None:
        if (self._stores / store).exists():
            return
        mine = self._owners / owner
        mine.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(list(mine.iterdir())) >= most:
            raise Full("stores", most, most + 1)
        self._stores.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Complete before it has its name, and the index before the store: what is counted too much is seen by `stores`.
        aside = self._stores / f".{store}-{token_hex(8)}"
        for folder in (aside, aside / "data", aside / "labels"):
            folder.mkdir(mode=0o700)
        _write(aside / "store.json", json.dumps({"owner": owner}).encode())
        _write(aside / "usage.json", Usage().encoded())
        (aside / "lock").touch(0o600)
        (mine / store).touch(0o600)
        try:
            aside.rename(self._stores / store)
        except OSError:
            # Another one was made under this id meanwhile.
            shutil.rmtree(aside)
            holder = self.owner(store)
            if holder != owner:
                (mine / store).unlink(missing_ok=True)
            if holder is None:
                raise
        _sync(self._stores)

    def owner(self, store: str) -> str | None:
        try:
            found = json.loads((self._stores / store / "store.json").read_bytes())
        except FileNotFoundError:
            return None
        return str(found["owner"])

    def stores(self, owner: str | None) -> list[str]:
        with suppress(FileNotFoundError):
            if owner is None:
                return sorted(name for name in os.listdir(self._stores) if not name.startswith("."))
            return sorted(name for name in os.listdir(self._owners / owner) if (self._stores / name).exists())
        return []

    def remove(self, store: str) -> None:
        try:
            with self._locked(store) as place:
                owner = self.owner(store)
                gone = self._stores / f".{store}-{token_hex(8)}"
                place.rename(gone)
        except NoSuchStore:
            return
        (self._owners / str(owner) / store).unlink(missing_ok=True)
        shutil.rmtree(gone)

    def put(self, store: str, content: bytes, bounds: Bounds) -> str:
        reference = hashlib.sha256(content).hexdigest()
        with self._locked(store) as place:
            path = _content(place, reference)
            found = _read(path)
            if found == content:
                os.utime(path)
                return reference
            usage = _usage(place).plus(Usage(int(found is None), len(content) - len(found or b"")))
            usage.require(bounds)
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700)
                _sync(path.parent.parent)
            _write(path, content)
            _write(place / "usage.json", usage.encoded(), sync=False)
        return reference

    def get(self, store: str, reference: str, most: int) -> bytes | None:
        path = _content(self._stores / store, reference)
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            if size > most:
                raise TooLong(reference, size, most)
        content = _read(path)
        if content is not None and hashlib.sha256(content).hexdigest() != reference:
            raise Damaged(store, reference)
        return content

    def exists(self, store: str, reference: str) -> bool:
        return _content(self._stores / store, reference).is_file()

    def label(self, store: str, label: str, reference: str, bounds: Bounds) -> bool:
        with self._locked(store) as place:
            try:
                os.utime(_content(place, reference))
            except FileNotFoundError:
                return False
            path = place / "labels" / label_key(label)
            if not path.exists():
                usage = _usage(place).plus(Usage(labels=1))
                usage.require(bounds)
                _write(place / "usage.json", usage.encoded(), sync=False)
            _write(path, f"{reference}\n{label}".encode())
        return True

    def labelled(self, store: str, label: str) -> str | None:
        found = _read(self._stores / store / "labels" / label_key(label))
        return None if found is None else found.decode().partition("\n")[0]

    def unlabel(self, store: str, label: str) -> None:
        with self._locked(store) as place:
            path = place / "labels" / label_key(label)
            if path.exists():
                path.unlink()
                _sync(path.parent)
                _write(place / "usage.json", _usage(place).plus(Usage(labels=-1)).encoded(), sync=False)

    def labels(self, store: str) -> dict[str, str]:
        """Label → reference."""
        found: dict[str, str] = {}
        for path in (self._stores / store / "labels").iterdir():
            data = _read(path) if not path.name.startswith(".") else None
            if data is not None:
                reference, _, label = data.decode().partition("\n")
                found[label] = reference
        return found

    def contents(self, store: str) -> list[Path]:
        return [path for path in (self._stores / store / "data").glob("*/*") if not path.name.startswith(".")]

    def usage(self, store: str) -> Usage:
        try:
            return _usage(self._stores / store)
        except FileNotFoundError:
            raise NoSuchStore(store) from None

    def collect(self, store: str, grace_s: float, dry_run: bool) -> Collected:
        newest = time.time() - grace_s
        with self._locked(store):
            # What is labelled from here on is younger than the grace time: to label it touches it.
            used = set(self.labels(store).values())
        candidates = [path for path in self.contents(store) if path.name not in used]
        contents = size_bytes = 0
        for start in range(0, len(candidates), BATCH):
            with self._locked(store) as place:
                sizes = [_unlink_older(path, newest, dry_run) for path in candidates[start : start + BATCH]]
                removed = [size for size in sizes if size is not None]
                contents, size_bytes = contents + len(removed), size_bytes + sum(removed)
                if removed and not dry_run:
                    usage = _usage(place).plus(Usage(-len(removed), -sum(removed)))
                    _write(place / "usage.json", usage.encoded(), sync=False)
        if not dry_run:
            self._tidy(store, newest)
        return Collected(contents, size_bytes)

    def _tidy(self, store: str, newest: float) -> None:
        """Count again, and remove what a crash left behind."""
        with self._locked(store) as place:
            for left in place.rglob(".*"):
                _unlink_older(left, newest, False)
            sizes = [path.stat().st_size for path in self.contents(store)]
            usage = Usage(len(sizes), sum(sizes), len(self.labels(store)))
            _write(place / "usage.json", usage.encoded(), sync=False)

    @contextmanager
    def _locked(self, store: str) -> Iterator[Path]:
        """The store's directory, for one who changes it. Raises `NoSuchStore`, and `Busy` after a while."""
        place = self._stores / store
        descriptor = _open_lock(place, store)
        try:
            yield place
        finally:
            os.close(descriptor)


def _open_lock(place: Path, store: str) -> int:
    """The lock of a store, held until it is closed."""
    while True:
        try:
            descriptor = os.open(place / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NoSuchStore(store) from None
        try:
            _lock(descriptor, store)
            if os.path.samestat(os.fstat(descriptor), os.stat(place / "lock")):
                return descriptor
            # The store was removed while this waited, and made again: that one has another lock.
            os.close(descriptor)
        except FileNotFoundError:
            os.close(descriptor)
            raise NoSuchStore(store) from None
        except BaseException:
            os.close(descriptor)
            raise


def _lock(descriptor: int, store: str) -> None:
    until = time.monotonic() + LOCK_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Busy(store) from None
            time.sleep(LOCK_POLL_S)


def _content(place: Path, reference: str) -> Path:
    return place / "data" / reference[:2] / reference


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file so that it is there whole or not at all, with `sync` also after a power cut."""
    aside = path.with_name(f".{path.name}-{token_hex(8)}")
    try:
        with open(aside, "xb", opener=_private) as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    if sync:
        _sync(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink_older(path: Path, newest: float, dry_run: bool) -> int | None:
    """Remove a file that is older; its size, or None for one that stays or is gone."""
    try:
        found = path.stat()
        if found.st_mtime > newest:
            return None
        if not dry_run:
            path.unlink()
    except FileNotFoundError:
        return None
    return found.st_size


def _usage(place: Path) -> Usage:
    return Usage.decoded((place / "usage.json").read_bytes())
