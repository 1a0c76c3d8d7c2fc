"""What the file system itself can do to lead out of a grant: links, renames at the wrong moment, devices, pipes."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus_filesystem import Filesystem

SECRET = b"what nobody may read"
CHANGES = ("write-file", "delete-file", "create-dir", "delete-dir")


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The granted folder; `outside/secret` lies beside it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(SECRET)
    found = tmp_path / "inside"
    found.mkdir()
    return found


@pytest.fixture
async def files(inside: Path, start_harness: Any) -> Any:
    return await start_harness(Filesystem, {"read": [str(inside)], "write": [str(inside)]})


async def change(files: Any, function: str, path: Path) -> None:
    await files.call(function, str(path), *(["text"] if function == "write-file" else []))


@pytest.mark.parametrize("target", ["../outside/secret", "{outside}/secret", "real", "loop", "nowhere"])
async def test_a_link_is_not_followed_wherever_it_leads(files: Any, inside: Path, target: str) -> None:
    (inside / "real").write_bytes(b"real")
    (inside / "loop").symlink_to(target.format(outside=inside.parent / "outside"))
    with pytest.raises(CapabilityError, match=r"'loop' .* is a symbolic link, and none is followed. Fix: "):
        await files.call("read-file", str(inside / "loop"))
    with pytest.raises(CapabilityError, match="is a symbolic link"):
        await files.call("write-file", str(inside / "loop"), "text")
    with pytest.raises(CapabilityError, match="is a symbolic link"):
        await files.call("delete-dir", str(inside / "loop"))
    assert await files.call("path-exists", str(inside / "loop"))
    await files.call("delete-file", str(inside / "loop"))
    assert (inside.parent / "outside" / "secret").read_bytes() == SECRET
    assert (inside / "real").read_bytes() == b"real"


@pytest.mark.parametrize("target", ["../outside", "{outside}", "."])
async def test_a_link_in_the_middle_of_a_path_ends_it(files: Any, inside: Path, target: str) -> None:
    (inside / "link").symlink_to(target.format(outside=inside.parent / "outside"))
    for function in ("read-file", "list-files", "path-exists"):
        with pytest.raises(CapabilityError, match=r"'link' .* is a symbolic link|Not a directory"):
            await files.call(function, str(inside / "link" / "secret"))
    with pytest.raises(CapabilityError, match="is a symbolic link"):
        await files.call("list-files", str(inside / "link"))
    for function in CHANGES:
        with pytest.raises(CapabilityError, match=r"'link' .* is a symbolic link"):
            await change(files, function, inside / "link" / "secret")
    assert os.listdir(inside.parent / "outside") == ["secret"]


async def test_a_grant_that_is_a_link_opens_nothing(inside: Path, start_harness: Any) -> None:
    """Otherwise a grant cut down to `/a/b` would reach what somebody makes `/a/b` lead to."""
    link = inside.parent / "link"
    link.symlink_to(inside.parent / "outside")
    files = await start_harness(Filesystem, {"read": [str(link)]})
    for path in (link, link / "secret"):
        with pytest.raises(CapabilityError, match="is a symbolic link"):
            await files.call("read-file", str(path))


async def test_the_links_of_proc_lead_nowhere(start_harness: Any) -> None:
    files = await start_harness(Filesystem, {"read": ["/proc"], "write": ["/proc"]})
    for path in ("/proc/self/status", f"/proc/{os.getpid()}/root/etc/passwd", f"/proc/{os.getpid()}/cwd/x"):
        with pytest.raises(CapabilityError, match="is a symbolic link"):
            await files.call("read-file", path)


async def test_removing_a_folder_removes_the_links_in_it_and_not_what_they_lead_to(files: Any, inside: Path) -> None:
    (inside / "folder" / "deep").mkdir(parents=True)
    (inside / "folder" / "deep" / "link").symlink_to(inside.parent / "outside")
    (inside / "folder" / "link").symlink_to(inside.parent / "outside" / "secret")
    await files.call("delete-dir", str(inside / "folder"))
    assert os.listdir(inside) == []
    assert (inside.parent / "outside" / "secret").read_bytes() == SECRET


@contextmanager
def swapping(here: Path, other: Path) -> Iterator[None]:
    """A thread that exchanges two names as fast as it can."""
    aside, end = here.with_name("aside"), threading.Event()

    def swap() -> None:
        while not end.is_set():
            os.rename(here, aside)
            os.rename(other, here)
            os.rename(here, other)
            os.rename(aside, here)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


async def test_whoever_renames_a_link_into_the_path_at_the_wrong_moment_gains_nothing(files: Any, inside: Path) -> None:
    (inside / "folder").mkdir()
    (inside / "folder" / "secret").write_bytes(b"harmless")
    (inside / "link").symlink_to(inside.parent / "outside")
    seen: set[bytes | str] = set()
    with swapping(inside / "folder", inside / "link"):
        for _ in range(400):
            try:
                seen.add(await files.call("read-file", str(inside / "folder" / "secret")))
                await files.call("write-file", str(inside / "folder" / "new"), "new")
                await files.call("delete-file", str(inside / "folder" / "new"))
            except CapabilityError as error:
                seen.add(str(error.value).rpartition(":")[2])
    assert b"harmless" in seen
    assert SECRET not in seen
    assert os.listdir(inside.parent / "outside") == ["secret"]


async def test_whoever_renames_a_link_in_the_place_of_a_file_gains_nothing(files: Any, inside: Path) -> None:
    (inside / "file").write_bytes(b"harmless")
    (inside / "link").symlink_to(inside.parent / "outside" / "secret")
    seen: set[bytes] = set()
    with swapping(inside / "file", inside / "link"):
        for _ in range(400):
            try:
                seen.add(await files.call("read-file", str(inside / "file")))
            except CapabilityError:
                continue
    assert seen == {b"harmless"}


async def test_a_pipe_a_socket_and_a_device_are_not_opened_and_nobody_waits(inside: Path, start_harness: Any) -> None:
    os.mkfifo(inside / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(inside / "socket"))
    granted = [str(inside), "/dev/null", "/dev/zero"]
    files = await start_harness(Filesystem, {"read": granted, "write": granted})
    for path in (inside / "pipe", inside / "socket", "/dev/zero"):
        with pytest.raises(CapabilityError, match="is no file but a device, pipe or socket"):
            await files.call("read-file", str(path))
    for path in (inside / "pipe", "/dev/null"):
        with pytest.raises(CapabilityError, match="is no file but a device, pipe or socket"):
            await files.call("write-file", str(path), "text")


async def test_a_file_that_claims_to_be_empty_is_bounded_while_it_is_read(start_harness: Any) -> None:
    """Files of the kernel say that they have no bytes."""
    path = f"/proc/{os.getpid()}/status"
    assert os.stat(path).st_size == 0
    assert (await (await start_harness(Filesystem, {"read": [path]})).call("read-file", path)).startswith(b"Name:")
    files = await start_harness(Filesystem, {"read": [path], "file_bytes": 10})
    with pytest.raises(CapabilityError, match=r"the grant filesystem\.file_bytes is 10. Fix"):
        await files.call("read-file", path)
