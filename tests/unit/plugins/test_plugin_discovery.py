"""Finding plugins: real entry points, each imported on its own, a bad one named and hiding no other."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from theater_bus.capability import hookimpl
from theater_bus.plugins import Found, Plugin, PluginRegistry, find
from theater_bus.plugins.discovery import load

GOOD = """
    from theater_bus.capability import Capability, hookimpl

    class Clock(Capability):
        name = "clock"
        pact = "clock.pact"

        def now(self) -> int:
            return 7

    @hookimpl
    def theater_capabilities():
        return [Clock]
"""
PACT = """
    interface clock {
        @package: string = "my:tools"
        exports { now: func() -> u64 }
    }
"""


def failure(plugins: list[Plugin], name: str) -> str:
    [plugin] = [one for one in plugins if one.name == name and one.status == "failed"]
    assert not plugin.hooks
    return str(plugin.error)


def test_an_installed_plugin_is_found_with_its_distribution_and_not_imported(distribute: Any) -> None:
    found = distribute("clock", GOOD, files={"clock.pact": PACT})
    assert (found.name, found.distribution, found.version) == ("clock", "dist-clock", "1.5")
    assert found.value not in sys.modules


def test_the_plugins_of_this_environment_are_found() -> None:
    assert "runtime" in [one.name for one in find()]


def test_a_good_plugin_is_loaded_with_its_hooks_and_capabilities(distribute: Any) -> None:
    registry = PluginRegistry.discover(found=[distribute("clock", GOOD, files={"clock.pact": PACT})])
    [plugin] = registry.plugins
    assert (plugin.status, plugin.hooks, plugin.capabilities) == ("loaded", ("theater_capabilities",), ["clock"])
    assert list(registry.capabilities) == ["clock"]
    assert registry.failures == []


def test_a_plugin_outside_the_allow_list_is_not_even_imported(distribute: Any, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    spy = distribute("spy", f"open({str(trace)!r}, 'w').close()")
    clock = distribute("clock", GOOD, files={"clock.pact": PACT})
    plugins = load([clock, spy], allow=frozenset({"clock"}))
    assert [(one.name, one.status) for one in plugins] == [("clock", "loaded"), ("spy", "not-allowed")]
    assert not trace.exists()
    assert spy.value not in sys.modules
    load([spy])
    assert trace.exists()


def test_a_name_on_the_allow_list_that_is_not_installed_is_a_failure(distribute: Any) -> None:
    plugins = load([distribute("clock", GOOD, files={"clock.pact": PACT})], allow=frozenset({"clock", "clokc"}))
    assert "no installed distribution has an entry point 'clokc'" in failure(plugins, "clokc")
    assert "Fix: install the plugin, or take it out of plugins_allow" in failure(plugins, "clokc")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("this is no python", "SyntaxError"),
        ("requires_api = 2", "it is written for API 2, this is API 1"),
        (
            "from theater_bus.capability import hookimpl\n@hookimpl\ndef theater_capabilites(): ...",
            "there is no hook of that name",
        ),
        ("def theater_capabilities(): ...", "it has the name of a hook and is not marked as one"),
        (
            "from theater_bus.capability import hookimpl\n@hookimpl(tryfirst=True)\ndef theater_cli(): ...",
            "hookimpl(tryfirst) has no meaning here",
        ),
        (
            "from theater_bus.capability import hookimpl\n@hookimpl\ndef theater_actor_starting(actr): ...",
            "Argument(s) {'actr'} are declared in the hookimpl but can not be found in the hookspec",
        ),
    ],
)
def test_a_bad_plugin_is_named_and_hides_no_other(distribute: Any, source: str, problem: str) -> None:
    bad = distribute("bad", source)
    clock = distribute("clock", GOOD, files={"clock.pact": PACT})
    registry = PluginRegistry.discover(found=[bad, clock])
    text = failure(registry.plugins, "bad")
    assert text.startswith("plugin 'bad' cannot be used\n  in: ")
    assert "dist-bad 1.5" in text
    assert problem in text
    assert "\n  Fix: " in text
    assert list(registry.capabilities) == ["clock"]
    assert [str(one) for one in registry.failures] == [text]


def test_the_cause_of_a_failed_import_is_kept(distribute: Any) -> None:
    [plugin] = load([distribute("bad", "1 / 0")])
    assert plugin.error is not None
    assert isinstance(plugin.error.__cause__, ZeroDivisionError)


def test_an_entry_point_that_names_no_module_is_refused(distribute: Any) -> None:
    module = distribute("clock", GOOD, files={"clock.pact": PACT})
    plugins = load([Found("clock", f"{module.value}:Clock", "d", "1")])
    assert "the entry point does not name a module" in failure(plugins, "clock")


def test_two_distributions_with_one_plugin_name_are_named_both(distribute: Any) -> None:
    first = distribute("clock", GOOD, files={"clock.pact": PACT}, distribution="one")
    second = distribute("clock", GOOD, distribution="two")
    registry = PluginRegistry.discover(found=[first, second])
    text = failure(registry.plugins, "clock")
    assert f"{second.value} of two 1.5" in text
    assert f"the name is taken by {first.value} of one 1.5" in text
    assert [one.capabilities for one in registry.plugins] == [["clock"], []]


def test_plugins_of_this_process_are_always_allowed_and_may_be_objects() -> None:
    @hookimpl
    def theater_cli() -> dict[str, str]:
        return {"hello": "module:command"}

    registry = PluginRegistry.discover(found=[], allow=[], extra=[("mine", SimpleNamespace(theater_cli=theater_cli))])
    assert registry.commands == {"hello": "module:command"}
    assert [(one.name, one.status) for one in registry.plugins] == [("mine", "loaded")]
