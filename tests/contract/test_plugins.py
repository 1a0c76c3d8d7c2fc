"""What holds for every plugin of this repository: how it is packaged, where it is registered, what its page says."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from theater_bus import testing
from theater_bus.capability import Context, WitCapability
from theater_bus.core import published
from theater_bus.core.values.pact_format import format_function
from theater_bus.plugins import CapabilityType, PluginRegistry

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDERS = {path.parent.name: path.parent for path in sorted((ROOT / "plugins").glob("*/pyproject.toml"))}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

ORIGINALS = {
    "theater:simple/http-client": "5c889a1a69737e0fb8ea54dbe5df356341b080353ad050f1a70b93c32ef97e12",
    "theater:simple/loop": "d65c22ebe2f227fb3f1cec5d5e00c8499a98cf5cbd643e4e735cedb6a96fe7f3",
    "theater:simple/message-server-host": "4c57c8b0b5b79b4dfae06d5011c3096c8802df861de35b29911e1faa462f8576",
    "theater:simple/rpc": "382ac1a99edacf567a7deccd575672353262b3cbaf181d02941ffef212f5bef8",
    "theater:simple/store": "bea2dcf56801906d7024fc5f167e6e55d614c9cc2b63a666e889e58005a62246",
    "theater:simple/tcp": "65e79c446b573b0dff8ee95e53c4f7e5b2a18aba9496a1ba2f318258470383d5",
    "theater:simple/terminal": "9f4bba01d7eb33647151afaa6abee63bf32e0ecc9bf8ec316a516729455b4423",
    "theater:simple/timer": "376e169568000435cb382b39f9ab2e65f4000d8f4d15e8420659cb6403d436ae",
    "wisp:assembler/runtime": "f62d1c94e045e1f56b802a5044b49e4aed62c3f272f8df9fc1ef876dadb20654",
}
"""Interfaces of Theater, by the hash that its guests carry; of `runtime` and `supervisor` they carry those of parts."""


@cache
def registry() -> PluginRegistry:
    return PluginRegistry.discover()


@cache
def pyproject(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDERS[name] / "pyproject.toml").read_text("utf-8"))


def page(name: str) -> str:
    """The page of a plugin, without line ends, so that a signature may be broken across lines."""
    return (DOCS / "reference" / "capabilities" / f"{name}.md").read_text("utf-8")


def types(name: str) -> list[CapabilityType]:
    """The capabilities that a plugin offers."""
    return [one for one in registry().capabilities.values() if one.plugin == name]


def test_what_errors_say_to_install_is_what_there_is() -> None:
    offered = {
        interface.name: one.name
        for one in registry().capabilities.values()
        for interface in one.interfaces
        if one.plugin in FOLDERS
    }
    assert dict(published.INTERFACES) == offered
    assert {one.name for one in registry().capabilities.values() if one.plugin in FOLDERS} == published.CAPABILITIES
    for one in registry().capabilities.values():
        assert published.distribution(one.name) == pyproject(one.plugin)["project"]["name"]
    assert (published.distribution("runtme"), published.provider("my:own/thing")) == (None, None)
    assert published.provider("theater:bus/clock@1.0.0") == "clock"


def test_there_are_plugins() -> None:
    assert len(FOLDERS) > 10
    assert not registry().failures


@pytest.mark.parametrize("interface", ORIGINALS)
def test_an_interface_of_theater_is_the_one_that_its_guests_know(interface: str) -> None:
    hashes = {name: digest.hex() for one in registry().capabilities.values() for name, digest in one.hashes().items()}
    assert hashes[interface] == ORIGINALS[interface]


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_packaged_like_all_others(name: str) -> None:
    module = f"theater_bus_{name.replace('-', '_')}"
    made, mine = PROJECT["project"], pyproject(name)["project"]
    assert mine["name"] == f"theater-bus-{name}"
    assert mine["readme"] == "README.md"
    for key in ("version", "license", "requires-python", "classifiers"):
        assert mine.get(key) == made[key], f"{key} is not that of the root's pyproject.toml"
    assert "theater-bus" in mine["dependencies"]
    assert 20 < len(mine["description"]) < 130
    assert mine["entry-points"] == {"theater_bus": {name: module}}
    built = pyproject(name)
    assert built["build-system"] == PROJECT["build-system"]
    assert built["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [f"src/{module}"]
    assert (FOLDERS[name] / "src" / module / "__init__.py").is_file()


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_registered_where_all_others_are(name: str) -> None:
    assert PROJECT["tool"]["uv"]["sources"][f"theater-bus-{name}"] == {"workspace": True}
    assert f"plugins/{name}/src" in PROJECT["tool"]["mypy"]["mypy_path"]
    assert f"(reference/capabilities/{name}.md)" in (DOCS / "index.md").read_text("utf-8")
    assert re.search(rf"`{re.escape(name)}`", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    plugin = next(one for one in registry().plugins if one.name == name)
    assert (plugin.status, plugin.error) == ("loaded", None)
    assert plugin.found.distribution == f"theater-bus-{name}"


@pytest.mark.parametrize("name", FOLDERS)
def test_its_readme_says_what_it_is_and_leads_on(name: str) -> None:
    readme = (FOLDERS[name] / "README.md").read_text("utf-8")
    assert readme.startswith(f"# theater-bus-{name}\n")
    assert f"(../../docs/reference/capabilities/{name}.md)" in readme
    for type_ in types(name):
        assert f"[capabilities.{type_.name}]" in readme
        assert all(one.name in readme for one in type_.interfaces[:1])
        if type_.interfaces and not type_.pact.source.endswith(".py"):
            assert list(FOLDERS[name].glob(f"src/*/{type_.pact.source}")), "the pact lies in the package"


@pytest.mark.parametrize("name", FOLDERS)
def test_its_page_has_every_function_with_its_effect_and_every_hash(name: str) -> None:
    text = page(name)
    assert f"`theater-bus-{name}`" in text
    described = re.findall(r"^\| `([a-z0-9-]+): func", text, re.MULTILINE)
    known = {function for type_ in types(name) for _, function in type_.functions}
    known |= {one.declaration.name for type_ in types(name) for one in type_.peers.values()}
    assert set(described) == known, "the page has functions that there are not"
    for type_ in types(name):
        for interface, digest in type_.hashes().items():
            assert interface in text
            assert f"`{digest.hex()}`" in text, f"the hash of {interface} is {digest.hex()}"
        for (_, function), one in type_.functions.items():
            signature = re.escape(f"{function}: {format_function(one.declaration)}")
            [effect] = re.findall(rf"^\| `{signature}` \|.*\| (\w+) \|$", text, re.MULTILINE) or [None]
            assert effect == one.effect, f"the page lacks `{signature}`, or its effect, {one.effect}"


@pytest.mark.parametrize("name", FOLDERS)
def test_its_page_has_every_setting_with_its_default(name: str) -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \| ([^|]+) \|", page(name), re.MULTILINE)
    told: dict[str, list[str]] = {}
    for setting, *cells in rows:
        told.setdefault(setting, []).extend(cells)
    for type_ in types(name):
        for setting, field in type_.cls.Settings.model_fields.items():
            assert setting in told, f"the page lacks {setting}"
            assert any(is_shown(field.default, cell) for cell in told[setting]), (
                f"the page says {told[setting]} of {setting}, whose default is {field.default!r}"
            )


UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
NOTHING = ("none", "nobody", "nothing", "[]")


def is_shown(default: object, cell: str) -> bool:
    """Whether a cell of a page says this default."""
    shown = cell.strip().strip("`")
    if isinstance(default, bool):
        return shown == str(default).lower()
    if isinstance(default, int):
        number, _, unit = shown.replace(",", "").partition(" ")
        return number.isdigit() and int(number) * UNITS.get(unit, 1) == default
    if isinstance(default, tuple):
        return shown in NOTHING if not default else shown == json.dumps(default)
    return shown in (json.dumps(default), str(default))


def test_the_guide_for_authors_has_all_that_a_capability_and_its_tests_are_offered() -> None:
    guide = (DOCS / "how-to" / "write-a-capability.md").read_text("utf-8")
    offered = [name for name in vars(Context) if not name.startswith("_")]
    kinds = ("NUMBER", "FLAG", "STRINGS", "HOSTS", "ENDPOINTS", "PATHS", "SECRETS", "SUBJECTS")
    for name in (*offered, *kinds, *testing.__all__):
        assert re.search(rf"\b{name}\b", guide), f"the guide lacks {name}"


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_held_to_what_is_asked_of_every_capability(name: str) -> None:
    tests = "\n".join(path.read_text("utf-8") for path in FOLDERS[name].glob("tests/test_*.py"))
    for type_ in types(name):
        if issubclass(type_.cls, WitCapability):
            continue  # it has no pact, and so no guest that relays to it
        assert re.search(rf"= conformance\(\s*{type_.cls.__name__}\b", tests), (
            f"no conformance({type_.cls.__name__}, …)"
        )
