"""The filesystem capability: its page, its functions, hostile paths, grants and bounds."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import SpawnRefused, TypeMismatch
from theater_bus.plugins import compile_capability, method_name
from theater_bus_filesystem import Filesystem

TYPE = compile_capability("filesystem", Filesystem)


def granted(path: Path, **settings: Any) -> dict[str, Any]:
    return {"read": [str(path)], "write": [str(path)]} | settings


async def told(actor: Any, function: str, *params: Any) -> Any:
    """The answer of a relaying guest: the value of an ok, `{"err": …}` otherwise."""
    [answer] = await actor.call_function(function, list(params))
    return answer.get("ok", answer)


def test_what_changes_files_is_external_and_nothing_runs_on_the_loop() -> None:
    effects = {name: function.effect for (_, name), function in TYPE.functions.items()}
    changing = {"write-file", "write-bytes", "delete-file", "create-dir", "delete-dir"}
    assert {name for name, effect in effects.items() if effect == "external"} == changing
    methods = {name: getattr(Filesystem, method_name(name)) for _, name in TYPE.functions}
    plain = {name for name, method in methods.items() if not hasattr(method, "__theater_blocking__")}
    assert plain == {"execute-command", "execute-nix-command"}


async def test_the_functions_do_what_the_page_says(start_host: Any, tmp_path: Path) -> None:
    host = await start_host(Filesystem)
    actor = await host.spawn(Filesystem, capabilities={"filesystem": granted(tmp_path)})
    folder, file = str(tmp_path / "Ordner ä"), str(tmp_path / "Ordner ä" / "file")
    assert await told(actor, "path-exists", file) is False
    assert "No such file or directory" in (await told(actor, "read-file", file))["err"]
    assert "No such file or directory" in (await told(actor, "write-file", file, "text"))["err"]
    assert await told(actor, "create-dir", folder) == []
    assert "File exists" in (await told(actor, "create-dir", folder))["err"]
    assert await told(actor, "write-file", file, "tä") == []
    assert await told(actor, "read-file", file) == "tä".encode()
    assert await told(actor, "write-bytes", file + "2", b"\0\xff") == []
    assert await told(actor, "write-bytes", file, b"") == []
    assert await told(actor, "read-file", file) == b""
    assert await told(actor, "list-files", folder) == ["file", "file2"]
    assert await told(actor, "list-files", f"{tmp_path}//./Ordner ä/") == ["file", "file2"]
    assert "Is a directory" in (await told(actor, "read-file", folder))["err"]
    assert "Is a directory" in (await told(actor, "write-file", folder, "text"))["err"]
    assert "Is a directory" in (await told(actor, "delete-file", folder))["err"]
    assert "Not a directory" in (await told(actor, "list-files", file))["err"]
    assert "Not a directory" in (await told(actor, "delete-dir", file))["err"]
    assert await told(actor, "delete-file", file) == []
    assert await told(actor, "path-exists", file) is False
    assert await told(actor, "delete-dir", folder) == []
    assert await told(actor, "list-files", str(tmp_path)) == []


HOSTILE = [
    "",
    "\0",
    "/etc/passwd",
    "/",
    "//etc//passwd",
    "../../etc/passwd",
    "etc/passwd",
    "~/x",
    "{inside}/../outside/secret",
    "{inside}/./../outside/secret",
    "{inside}/a\0b",
    "{inside}-beside",
    "{inside}/" + "x/" * 3000,
    "{inside}/" + "x" * 300 + "/y",
]


async def test_hostile_paths_reach_nothing(start_harness: Any, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    for folder in (inside, tmp_path / "inside-beside", tmp_path / "outside"):
        folder.mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    files = await start_harness(Filesystem, granted(inside))
    for path in (one.replace("{inside}", str(inside)) for one in HOSTILE):
        for function in ("read-file", "list-files", "delete-file", "create-dir", "delete-dir"):
            with pytest.raises(CapabilityError):
                await files.call(function, path)
        for function, content in (("write-file", "x"), ("write-bytes", b"x")):
            with pytest.raises(CapabilityError):
                await files.call(function, path, content)
    assert sorted(os.listdir(tmp_path)) == ["inside", "inside-beside", "outside"]
    assert os.listdir(inside) == os.listdir(tmp_path / "inside-beside") == []
    assert (tmp_path / "outside" / "secret").read_bytes() == b"secret"


async def test_a_refusal_names_the_grant_and_the_line_to_add(start_harness: Any, tmp_path: Path) -> None:
    files = await start_harness(Filesystem)
    with pytest.raises(
        CapabilityError, match=r"outside the grant filesystem.read. Fix: write `read = \['/etc/passwd'\]`"
    ):
        await files.call("read-file", "/etc/passwd")
    with pytest.raises(CapabilityError, match=r"outside the grant filesystem.write. Fix: write `write = \['/x'\]`"):
        await files.call("write-file", "/x", "text")
    with pytest.raises(CapabilityError, match=r"outside the grant filesystem.read"):
        await files.call("path-exists", "/etc")
    with pytest.raises(CapabilityError, match="`own_dir = true`"):
        await files.call("read-file", "x")


async def test_reading_and_writing_are_granted_apart(start_harness: Any, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "r" / "f").write_bytes(b"f")
    files = await start_harness(Filesystem, {"read": [str(tmp_path / "r")], "write": [str(tmp_path / "w")]})
    await files.call("write-file", str(tmp_path / "w" / "f"), "text")
    assert await files.call("path-exists", str(tmp_path / "w" / "f"))
    for function, path in (("read-file", "w/f"), ("list-files", "w"), ("delete-file", "r/f"), ("delete-dir", "r/f")):
        with pytest.raises(CapabilityError, match=r"outside the grant filesystem\."):
            await files.call(function, str(tmp_path / path))


async def test_a_single_file_can_be_granted_and_nothing_beside_it_is_touched(
    start_harness: Any, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    files = await start_harness(Filesystem, granted(file))
    before = os.stat(tmp_path).st_mtime_ns
    file.write_bytes(b"longer than what follows")
    os.utime(tmp_path, ns=(before, before))
    await files.call("write-file", str(file), "short")
    assert await files.call("read-file", str(file)) == b"short"
    assert os.stat(tmp_path).st_mtime_ns == before
    with pytest.raises(CapabilityError, match="outside the grant"):
        await files.call("list-files", str(tmp_path))


async def test_the_granted_folder_itself_stays(start_harness: Any, tmp_path: Path) -> None:
    files = await start_harness(Filesystem, granted(tmp_path))
    for path in (str(tmp_path), f"{tmp_path}/", f"{tmp_path}/."):
        with pytest.raises(CapabilityError, match=r"is itself what filesystem\.write grants"):
            await files.call("delete-dir", path)


async def test_sizes_and_counts_are_bounded(start_harness: Any, tmp_path: Path) -> None:
    files = await start_harness(Filesystem, granted(tmp_path, file_bytes=5, entries=2))
    (tmp_path / "big").write_bytes(b"123456")
    with pytest.raises(CapabilityError, match=r"has 6 bytes or more, and the grant filesystem\.file_bytes is 5"):
        await files.call("read-file", str(tmp_path / "big"))
    with pytest.raises(CapabilityError, match=r"6 bytes are more than the grant filesystem\.file_bytes = 5"):
        await files.call("write-file", str(tmp_path / "new"), "ääa0")
    await files.call("write-file", str(tmp_path / "new"), "12345")
    assert await files.call("list-files", str(tmp_path)) == ["big", "new"]
    (tmp_path / "third").touch()
    with pytest.raises(CapabilityError, match=r"more than the grant filesystem\.entries = 2 names"):
        await files.call("list-files", str(tmp_path))


async def test_nobody_sees_half_a_file_and_its_mode_stays(start_harness: Any, tmp_path: Path) -> None:
    files = await start_harness(Filesystem, granted(tmp_path))
    path, contents = tmp_path / "file", [bytes([n]) * 100_000 for n in range(10)]
    path.write_bytes(contents[0])
    path.chmod(0o640)

    async def write() -> None:
        for content in contents:
            await files.call("write-bytes", str(path), content)

    writing = asyncio.create_task(write())
    seen = []
    while not writing.done():
        seen.append(await files.call("read-file", str(path)))
    await writing
    assert set(seen) <= set(contents)
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["file"]


async def test_what_cannot_be_written_leaves_the_old_file_and_no_rest(
    start_harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = await start_harness(Filesystem, granted(tmp_path))
    (tmp_path / "file").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("theater_bus_filesystem.tree.os.fsync", full)
    with pytest.raises(CapabilityError, match="No space left on device"):
        await files.call("write-file", str(tmp_path / "file"), "new")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


async def test_names_that_are_no_text_are_shown_and_harm_nothing(start_harness: Any, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xff")).touch()
    files = await start_harness(Filesystem, granted(tmp_path))
    assert await files.call("list-files", str(tmp_path)) == ["a\ufffd"]


async def test_an_actor_has_a_folder_of_its_own_where_that_is_granted(start_host: Any, tmp_path: Path) -> None:
    host = await start_host(Filesystem, data_dir=tmp_path)
    one, other = [
        await host.spawn(Filesystem, id=id, capabilities={"filesystem": {"own_dir": True}}) for id in ("one", "other")
    ]
    assert await told(one, "write-file", "note", "mine") == []
    assert await told(one, "read-file", "./note") == b"mine"
    assert await told(one, "list-files", ".") == ["note"]
    assert await told(other, "list-files", ".") == []
    for path in ("../one/note", "..", "a/../../one/note"):
        assert "holds `..`" in (await told(other, "read-file", path))["err"]
    absolute = str(tmp_path / "capabilities" / "filesystem" / host.theater.namespace / "one" / "note")
    assert "outside the grant" in (await told(one, "read-file", absolute))["err"]
    await one.shutdown()
    again = await host.spawn(Filesystem, id="one", capabilities={"filesystem": {"own_dir": True}})
    assert await told(again, "read-file", "note") == b"mine"


async def test_a_folder_of_its_own_needs_a_host_with_a_data_directory(start_host: Any) -> None:
    host = await start_host(Filesystem)
    with pytest.raises(SpawnRefused, match="Fix: start the host with --data DIR, or leave it out"):
        await host.spawn(Filesystem, capabilities={"filesystem": {"own_dir": True}})


async def test_no_program_is_run(start_harness: Any, tmp_path: Path) -> None:
    files = await start_harness(Filesystem, granted(tmp_path))
    with pytest.raises(CapabilityError, match=r"'touch' is not run.*Fix: import theater:simple/process"):
        await files.call("execute-command", str(tmp_path), "touch", [str(tmp_path / "x")])
    with pytest.raises(CapabilityError, match="'nix build' is not run"):
        await files.call("execute-nix-command", str(tmp_path), "nix build")
    assert os.listdir(tmp_path) == []


async def test_host_and_parent_cut_what_the_manifest_asks_for(start_host: Any, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    host = await start_host(Filesystem, grants={"filesystem": {"read": [str(tmp_path / "a")], "own_dir": False}})
    ask = {"read": ["/"], "file_bytes": 100, "own_dir": True}
    await host.spawn(Filesystem, id="parent", capabilities={"filesystem": {"read": [str(tmp_path)], "file_bytes": 7}})
    actor = await host.spawn(Filesystem, id="child", parent="parent", capabilities={"filesystem": ask})
    settings = host.host.actors["child"].capabilities["filesystem"].settings
    assert (settings.read, settings.write, settings.own_dir) == ((str(tmp_path / "a"),), (), False)
    assert settings.file_bytes == 7
    assert await told(actor, "list-files", str(tmp_path / "a")) == ["b"]
    assert "outside the grant" in (await told(actor, "list-files", str(tmp_path)))["err"]


@pytest.mark.parametrize("wrong", [1, None, b"a", ["a"], True])
async def test_wrong_types_never_reach_the_capability(start_harness: Any, tmp_path: Path, wrong: object) -> None:
    files = await start_harness(Filesystem, granted(tmp_path))
    with pytest.raises(TypeMismatch):
        await files.call("read-file", wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"read": ["relative"]},
        {"write": ["/a/../b"]},
        {"read": "/etc"},
        {"own_dir": 1},
        {"file_bytes": -1},
        {"path": "/"},
    ],
)
async def test_a_wrong_setting_refuses_the_spawn(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"\[capabilities.filesystem\]"):
        await start_harness(Filesystem, wrong)
