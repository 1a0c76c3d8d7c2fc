"""Broken modules are refused when they are loaded or looked at, each for its own reason."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.core.values.contract import check_imports
from theater_bus.core.values.export_table import exported_functions
from theater_bus.core.values.metadata import parse_metadata
from theater_bus.engine import Engine, HostImport, Limits, inspect
from theater_bus.errors import ConfigurationError, SpawnRefused, TypeMismatch
from theater_bus.testing.broken import broken, broken_names
from theater_bus.testing.guests import guest

REASONS = {
    "component": "the component exports no function",
    "cut-short": "it ends in the middle of a section",
    "empty": "not WebAssembly: the file begins with nothing",
    "fixed-base": "not a self-contained actor",
    "huge-memory": "memory-limit",
    "metadata-noise": "metadata cannot be read",
    "metadata-outside": "metadata .* cannot be read: the result .* is outside guest memory",
    "metadata-spin": "metadata .* cannot be read: .* CPU time",
    "metadata-trap": "metadata .* cannot be read: .*unreachable",
    "missing-export": "declares `lost`",
    "no-allocator": "does not export __pack_alloc, __pack_free",
    "no-memory": "does not export memory",
    "not-wasm": "not WebAssembly: the file begins with 23 21",
    "nothing-to-call": "no function that can be called",
    "raw-import": "host.log does not follow the calling convention",
    "shared-symbol": "both lead to the symbol `get`",
    "start-trap": "unreachable",
    "unknown-import": "nobody:here/thing.do, which no capability",
}
SEEN_LATER = {"no-metadata", "lying-hash", "lying-types", "differing-import"}
MODULES = {name: broken(name) for name in broken_names()}
RUNTIME = guest("runtime")


async def bring_up(engine: Engine, wasm: bytes) -> Any:
    """What a host does before an actor runs, as far as the engine and the package go."""
    module = await engine.load(wasm)
    metadata = parse_metadata(module.metadata or b"")
    exports = exported_functions(metadata, module.callables)
    imports = [HostImport("theater:simple/runtime", "log", bytes)]
    (await engine.instantiate(module, imports, Limits())).close()
    return exports


def test_every_broken_module_is_covered() -> None:
    assert set(MODULES) == REASONS.keys() | SEEN_LATER


@pytest.mark.parametrize("name", sorted(REASONS))
async def test_a_broken_module_is_refused_with_its_reason(engine: Engine, name: str) -> None:
    with pytest.raises(SpawnRefused, match=REASONS[name]):
        await bring_up(engine, MODULES[name])
    assert engine.instances == 0


@pytest.mark.parametrize("name", sorted(MODULES))
def test_looking_at_a_broken_module_never_raises(name: str) -> None:
    info = inspect(MODULES[name])
    assert info.size_bytes == len(MODULES[name])


async def test_a_module_without_metadata_has_none(engine: Engine) -> None:
    assert (await engine.load(MODULES["no-metadata"])).metadata is None


async def test_a_lying_hash_is_a_problem_of_the_package(engine: Engine) -> None:
    module = await engine.load(MODULES["lying-hash"])
    problems = parse_metadata(module.metadata or b"").problems
    assert len(problems) == 1
    assert "export hash" in problems[0]


async def test_lying_types_are_seen_when_the_code_answers(load: Any) -> None:
    liar = await load(MODULES["lying-types"], state=5)
    with pytest.raises(TypeMismatch, match="get"):
        await liar.outcome("get")


def test_an_import_of_other_types_is_seen_in_the_contract() -> None:
    wasm = MODULES["differing-import"]
    metadata = parse_metadata(inspect(wasm).metadata or b"")
    provided = {one.interface: [("runtime", one.declared)] for one in RUNTIME.pact.imports if one.declared}
    problems = check_imports(metadata, inspect(wasm).imports, provided).problems
    assert [(one.kind, one.interface, one.function) for one in problems] == [
        ("mismatch", "theater:simple/runtime", "log")
    ]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="lying-hash"):
        broken("nothing of this name")
