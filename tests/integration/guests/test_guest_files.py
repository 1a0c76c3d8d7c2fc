"""What is committed beside the guests' sources agrees: module, pact, manifest, and the compiler's output."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import theater_bus
from theater_bus.core.manifest import parse_manifest
from theater_bus.core.values.codec import function_codec
from theater_bus.core.values.embed import find_metadata
from theater_bus.core.values.export_table import exported_functions
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.metadata import parse_metadata
from theater_bus.engine import HostImport, inspect
from theater_bus.errors import SerializationError, TypeMismatch
from theater_bus.testing.guests import guest, guest_names, guests_folder

NAMES = ["caller", "chaos", "counter", "echo", "runtime", "text"]
GUESTS = {name: guest(name) for name in NAMES}
TOTALS = ["chunks", "bytes", "characters", "lines", "words", "longest", "open"]
DEMO = Path(theater_bus.__file__ or "").parent / "cli" / "demo_guests"
BUILDER = guests_folder() / "build.py"


def run_builder(builder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(builder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_all_guests_are_found() -> None:
    assert guest_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_module_declares_what_its_pact_does(name: str) -> None:
    one = guest(name)
    blob = find_metadata(one.wasm)
    assert blob is not None
    metadata = parse_metadata(blob)
    assert metadata.declared_hashes
    assert metadata.problems == ()
    assert metadata.export_hashes == {each.name: interface_hash(each) for each in one.pact.exports}
    declared = {wanted.interface: wanted.declared for wanted in one.pact.imports}
    assert metadata.import_hashes == {key: interface_hash(each) for key, each in declared.items() if each is not None}
    info = inspect(one.wasm)
    assert info.problem == ""
    assert {interface for interface, _ in info.imports} == set(declared)
    functions = [symbol for symbol, kind in info.exports if kind == "function"]
    exports = exported_functions(metadata, functions)
    assert {export.symbol for export in exports.values()} == set(functions) - {
        "__pack_alloc",
        "__pack_free",
        "__pack_types",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_names_its_guest_and_the_capabilities_that_it_imports(name: str) -> None:
    one = guest(name)
    manifest = parse_manifest(one.manifest_text)
    assert (manifest.name, manifest.package) == (name, f"{name}.wasm")
    assert len(manifest.capabilities) == len(one.pact.imports)


@pytest.mark.parametrize("name", ["caller", "chaos", "runtime", "text"])
def test_a_module_made_of_c_is_small(name: str) -> None:
    assert len(guest(name).wasm) < 24_000


@pytest.mark.slow
def test_the_committed_modules_are_what_the_pinned_compiler_makes() -> None:
    done = run_builder(BUILDER, "--check")
    assert done.returncode == 0, done.stderr
    for name in ("caller", "chaos", "runtime", "text"):
        assert f"{name}: {len(GUESTS[name].wasm)} bytes, as committed" in done.stdout


@pytest.mark.slow
def test_the_same_sources_give_the_same_modules_in_another_place(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(guests_folder(), copy)
    for module in copy.glob("*/*.wasm"):
        module.unlink()
    assert run_builder(copy / "build.py", "--check").returncode == 1, "what is missing is noticed"
    done = run_builder(copy / "build.py", "text", "runtime")
    assert done.returncode == 0, done.stderr
    for name in ("text", "runtime"):
        assert (copy / name / f"{name}.wasm").read_bytes() == guest(name).wasm


@pytest.mark.slow
def test_a_source_that_changed_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(guests_folder(), copy)
    source = copy / "runtime" / "runtime.c"
    source.write_text(source.read_text().replace("hello from", "goodbye by"))
    done = run_builder(copy / "build.py", "--check", "runtime")
    assert done.returncode == 1
    assert done.stderr == (
        "runtime: runtime.wasm is not what runtime.c gives. Fix: python tests/guests/build.py runtime\n"
    )
    source.write_text("this is not C")
    assert "it does not compile" in run_builder(copy / "build.py", "runtime").stderr


def mutations(data: bytes, count: int) -> list[bytes]:
    """Buffers that are nearly `data`, the same ones in every run."""
    chance = random.Random(20)
    found = []
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.choice([0, 1, 2, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        found.append(bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.2 else changed))
    return found


@pytest.mark.parametrize(
    ("name", "function", "state", "params"),
    [
        (
            "text",
            "analyse",
            dict.fromkeys(TOTALS, 1),
            ["a b"],
        ),
        ("caller", "point-to", {"next": "x", "calls": 1}, ["y"]),
        ("runtime", "stop", 1, [b"data"]),
        ("chaos", "allocate", 1, [5]),
    ],
)
async def test_a_c_guest_answers_wrong_bytes_with_a_message(
    load: Any, name: str, function: str, state: Any, params: list[Any]
) -> None:
    called: list[bytes] = []

    def answer(argument: bytes) -> bytes:
        called.append(argument)
        return bytes.fromhex("43475246020000000200000001000000") + bytes.fromhex(
            "0b0000000400000000000000" + "140000000b000000" + "0106000000000100000000"
        )

    imports = [HostImport(*one, answer) for one in inspect(GUESTS[name].wasm).imports]
    loaded = await load(GUESTS[name].wasm, state=state, imports=imports, cpu_ms=5000)
    assert await loaded.outcome(function, *params)
    good = loaded.state
    export = loaded.exports[function]
    codec = function_codec(export.function, export.stateful)
    data = codec.call_input(good, codec.encode_params(params))
    for wrong in mutations(data, 400):
        result = await loaded.raw(export.symbol, wrong)
        assert result.failure is None, (wrong.hex(), result.failure)
        assert result.status == 0 or (result.output and result.output.decode())
    assert await loaded.outcome(function, *params)


@pytest.mark.parametrize(
    ("name", "function", "state", "params"),
    [
        ("text", "analyse", dict.fromkeys(TOTALS, 1), ["a b"]),
        ("echo", "test:echo/actor.string", "state", ["text"]),
    ],
)
async def test_wrong_bytes_never_reach_a_component(
    load: Any, twin: Any, name: str, function: str, state: Any, params: list[Any]
) -> None:
    loaded = await load(twin(name), state=state)
    export = loaded.exports[function]
    codec = function_codec(export.function, export.stateful, True)
    data = codec.call_input(loaded.state, codec.encode_params(params))
    refused = 0
    for wrong in mutations(data, 400):
        try:
            result = await loaded.raw(export.symbol, wrong)
        except (SerializationError, TypeMismatch):
            refused += 1
        else:
            assert result.failure is None, (wrong.hex(), result.failure)
            assert codec.decode_result(result.output).ok
    assert refused > 200
    assert await loaded.outcome(function, *params)


@pytest.mark.parametrize("module", sorted(DEMO.glob("*.wasm")), ids=lambda path: path.stem)
def test_the_demo_carries_the_same_guests(module: Path) -> None:
    assert module.read_bytes() == guest(module.stem).wasm
