"""`wasi:filesystem`: what is granted, what WASI's errors are, and what is held and closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from theater_bus.capability import HandlerError
from theater_bus_wasi import Wasi
from theater_bus_wasi.filesystem import Descriptor

from .conftest import Call, refusal, refused, wasi

AT = "filesystem/types.[method]descriptor."


@asynccontextmanager
async def granted(place: Path, *, write: bool = True) -> AsyncIterator[tuple[int, Wasi, Call]]:
    """A granted directory, opened."""
    async with wasi(**{"write" if write else "read": [str(place)]}) as (instance, call):
        ((number, path),) = call("filesystem/preopens.get-directories")
        assert path == str(place)
        yield number, instance, call


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """`in/file.txt` to be granted, `out/secret` beside it, and links that lead there."""
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret").write_text("not yours")
    (inside / "file.txt").write_text("hello")
    (inside / "link").symlink_to(tmp_path / "out")
    (inside / "link.txt").symlink_to(tmp_path / "out" / "secret")
    return inside


async def test_a_granted_directory_is_read_and_written(place: Path) -> None:
    async with granted(place) as (root, _, call):
        file = await call(AT + "open-at", root, [], "file.txt", [], ["read"])
        assert await call(AT + "read", file, 100, 1) == [b"ello", True]
        assert call(AT + "get-type", file) == "regular-file"
        assert (await call(AT + "stat", file))["size"] == 5
        stream = call(AT + "read-via-stream", file, 2)
        assert call("io/streams.[method]input-stream.read", stream, 100) == b"llo"
        made = await call(AT + "open-at", root, [], "sub/new", ["create", "exclusive"], ["write"])
        assert await call(AT + "write", made, b"0123", 0) == 4
        out = call(AT + "append-via-stream", made)
        call("io/streams.[method]output-stream.write", out, b"45")
        await call(AT + "set-size", made, 5)
        await call(AT + "sync", made)
        await call(AT + "rename-at", root, "sub/new", root, "moved")
        assert (place / "moved").read_bytes() == b"01234"
        await call(AT + "create-directory-at", root, "more")
        await call(AT + "remove-directory-at", root, "more")
        await call(AT + "unlink-file-at", root, "moved")
        entries = await call(AT + "read-directory", root)
        names = []
        while entry := call("filesystem/types.[method]directory-entry-stream.read-directory-entry", entries):
            names.append((entry["name"], entry["type"]))
        assert ("file.txt", "regular-file") in names
        assert ("link", "symbolic-link") in names


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../out/secret", "not-permitted"),
        ("sub/../../out/secret", "not-permitted"),
        ("/etc/passwd", "not-permitted"),
        ("..", "not-permitted"),
        ("file.txt\0", "not-permitted"),
        ("link/secret", "not-directory"),
        ("link.txt", "loop"),
        ("file.txt/x", "not-directory"),
        ("nothing", "no-entry"),
        ("x" * 300, "name-too-long"),
    ],
)
async def test_no_path_leads_out_of_a_directory(place: Path, path: str, code: str) -> None:
    async with granted(place) as (root, _, call):
        assert await refused(call(AT + "open-at", root, [], path, [], ["read"])) == code
        assert await refused(call(AT + "open-at", root, ["symlink-follow"], path, [], ["read"])) == code


async def test_places_that_no_file_has_are_errors_of_wasi(place: Path) -> None:
    most = (1 << 64) - 1
    async with granted(place) as (directory, _, call):
        file = await call(f"{AT}open-at", directory, [], "file.txt", [], ["read", "write"])
        assert await refused(call(f"{AT}read", file, 10, most)) == "invalid"
        assert await refused(call(f"{AT}write", file, b"x", most)) == "invalid"
        assert await refused(call(f"{AT}set-size", file, most)) == "invalid"
        assert (await call(f"{AT}read", file, most, 0))[0] == b"hello"
        source = call(f"{AT}read-via-stream", file, most)
        error = refusal(partial(call, "io/streams.[method]input-stream.read", source, 1))
        assert "last-operation-failed" in error
        target = call(f"{AT}write-via-stream", file, most)
        error = refusal(partial(call, "io/streams.[method]output-stream.write", target, b"x"))
        assert "last-operation-failed" in error
    assert (place / "file.txt").read_text() == "hello"


async def test_links_are_not_made_nor_read(place: Path) -> None:
    async with granted(place) as (root, _, call):
        assert refusal(lambda: call(AT + "symlink-at", root, "/etc", "e")) == "not-permitted"
        assert refusal(lambda: call(AT + "readlink-at", root, "link")) == "not-permitted"
        assert (await call(AT + "stat-at", root, [], "link.txt"))["type"] == "symbolic-link"


@pytest.mark.parametrize(
    "change",
    [
        lambda call, root: call(AT + "open-at", root, [], "new", ["create"], ["write"]),
        lambda call, root: call(AT + "open-at", root, [], "file.txt", [], ["write"]),
        lambda call, root: call(AT + "open-at", root, [], "file.txt", ["truncate"], ["read"]),
        lambda call, root: call(AT + "unlink-file-at", root, "file.txt"),
        lambda call, root: call(AT + "create-directory-at", root, "d"),
        lambda call, root: call(AT + "rename-at", root, "file.txt", root, "x"),
    ],
)
async def test_a_directory_to_read_is_not_changed(place: Path, change: Any) -> None:
    async with granted(place, write=False) as (root, _, call):
        assert await refused(change(call, root)) == "read-only"
    assert (place / "file.txt").read_text() == "hello"


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_files_are_closed_with_their_handles_and_with_the_instance(place: Path) -> None:
    before = opened()
    async with granted(place) as (root, instance, call):
        file = await call(AT + "open-at", root, [], "file.txt", [], ["read"])
        call(AT + "read-via-stream", file, 0)
        instance.dropped("wasi:filesystem/types/descriptor", file)
        instance.renewed()
        assert opened() == before
    assert opened() == before


async def test_a_descriptor_that_is_used_keeps_its_number_when_it_is_closed(place: Path) -> None:
    """The kernel gives a closed one's number to the next file that anybody opens."""
    descriptor = Descriptor(os.open(place / "file.txt", os.O_RDONLY), writable=False)
    with descriptor.use() as file:
        descriptor.close()
        descriptor.close()
        assert os.pread(file, 10, 0) == b"hello"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
    with pytest.raises(HandlerError, match="is closed"), descriptor.use():
        pass


async def test_what_is_opened_for_an_operation_that_was_cut_is_closed_and_gets_no_number(
    place: Path, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    begun, go_on, real = Event(), Event(), os.open

    def slow(path: Any, *args: Any, **options: Any) -> int:
        if path == "file.txt":
            begun.set()
            go_on.wait(60)
        return real(path, *args, **options)

    before = opened()
    async with granted(place) as (root, instance, call):
        monkeypatch.setattr(os, "open", slow)
        opening = asyncio.ensure_future(call(AT + "open-at", root, [], "file.txt", [], ["read"]))
        await asyncio.to_thread(begun.wait, 60)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert opening.cancelled()
        instance.renewed()
        go_on.set()
        await eventually(lambda: opened() == before)
        assert len(instance.table) == 0
