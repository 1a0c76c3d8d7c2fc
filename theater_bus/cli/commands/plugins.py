"""`theater-bus plugins`: which plugins there are, what they offer, and what is wrong with them."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from theater_bus.cli.command import LazyGroup, Listed, define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import facts, json_form

if TYPE_CHECKING:
    from theater_bus.plugins import Plugin, PluginRegistry

__all__ = ["check", "command", "list_plugins", "show", "wit"]

_HERE = "theater_bus.cli.commands.plugins"


def _document(plugin: Plugin) -> dict[str, Any]:
    error = plugin.error
    return {
        "name": plugin.name,
        "status": plugin.status,
        "distribution": plugin.found.distribution,
        "version": plugin.found.version,
        "module": plugin.found.value,
        "capabilities": list(plugin.capabilities),
        "hooks": list(plugin.hooks),
        "error": None
        if error is None
        else {"subject": error.subject, "problem": error.problem, "fix": error.fix or None},
    }


@define("list", short_help="List the installed plugins.")
def list_plugins(invocation: Invocation) -> None:
    """List the installed plugins, with what each offers."""
    registry = _registry(invocation, "list the plugins")
    rows = [
        (
            plugin.name,
            plugin.status,
            f"{plugin.found.distribution} {plugin.found.version}",
            ", ".join(plugin.capabilities) or "-",
        )
        for plugin in registry.plugins
    ]
    invocation.out.table(
        {"plugins": [_document(plugin) for plugin in registry.plugins]},
        ("PLUGIN", "STATUS", "DISTRIBUTION", "CAPABILITIES"),
        rows,
        "no plugin is installed; `pip install theater-bus-runtime` brings the first",
    )


def _settings_of(registry: PluginRegistry, capability: str) -> list[dict[str, Any]]:
    """What a manifest may write under the capability: name, kind of bound, default; None is a default of its own."""
    cls = registry.capabilities[capability].cls
    bounds = cls.grant_bounds()
    settings = []
    for field, info in cls.Settings.model_fields.items():
        kind = bounds[field]
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        settings.append(
            {
                "capability": capability,
                "name": info.alias or field,
                "kind": "exact" if kind is None else kind.name,
                "required": info.is_required(),
                "default": json_form(facts(default)),
            }
        )
    return settings


def _setting_line(one: dict[str, Any]) -> str:
    default = "required" if one["required"] else f"default {json.dumps(one['default'], ensure_ascii=False)}"
    return f"{one['capability']}.{one['name']}: {one['kind']}, {default}"


@define("show", short_help="Show one plugin, its functions and settings.")
@click.argument("name")
def show(invocation: Invocation, name: str) -> None:
    """Show plugin NAME: its capabilities, every function with its effect, and the settings that a manifest may write,
    each with its kind of bound and what holds without it.
    """
    from theater_bus.core.values.pact_format import format_function

    registry = _registry(invocation, f"show plugin {name!r}")
    plugin = _plugin(registry, name)
    functions = [
        {
            "capability": capability,
            "interface": function.interface,
            "signature": f"{function.name}: {format_function(function.declaration)}",
            "call": function.call,
            "effect": function.effect,
        }
        for capability in plugin.capabilities
        for function in registry.capabilities[capability].functions.values()
    ]
    settings = [one for capability in plugin.capabilities for one in _settings_of(registry, capability)]
    rows = [
        ("plugin", f"{plugin.name} ({plugin.status})"),
        ("distribution", f"{plugin.found.distribution} {plugin.found.version}"),
        ("module", plugin.found.value),
        ("hooks", ", ".join(plugin.hooks) or "none"),
        ("capabilities", ", ".join(plugin.capabilities) or "none"),
        ("functions", "\n".join(f"{one['interface']}.{one['signature']}" for one in functions) or "none"),
        ("settings", "\n".join(map(_setting_line, settings)) or "none"),
    ]
    if plugin.error is not None:
        rows.append(("error", str(plugin.error)))
    invocation.out.pairs(_document(plugin) | {"functions": functions, "settings": settings}, rows)


@define("check", short_help="Check all plugins, or one; exit 1 when one is bad.")
@click.argument("name", required=False)
def check(invocation: Invocation, name: str | None) -> int:
    """Check that every plugin loads, and that its methods and its pact agree; or only plugin NAME."""
    registry = _registry(invocation, "check the plugins")
    checked = [plugin for plugin in registry.plugins if name is None or plugin.name == name]
    if name is not None and not checked:
        raise CommandFailed(
            f"no plugin {name!r} is installed", "`theater-bus plugins list` shows which are", ExitCode.NOT_FOUND
        )
    bad = [plugin for plugin in checked if plugin.error is not None]
    lines = [f"plugin {plugin.name!r}: ok" if plugin.error is None else str(plugin.error) for plugin in checked]
    shown = {"ok": not bad, "plugins": [_document(plugin) for plugin in checked]}
    invocation.out.document(shown, lambda: "\n".join(lines) or "no plugin is installed")
    return ExitCode.FAILED if bad else ExitCode.OK


@define("wit", short_help="Print a plugin's interfaces as WIT.")
@click.argument("name")
def wit(invocation: Invocation, name: str) -> None:
    """Print the interfaces of plugin NAME as WIT, each pact of it in turn."""
    from theater_bus.core.values.wit import capability_wit

    registry = _registry(invocation, f"write the WIT of plugin {name!r}")
    plugin = _plugin(registry, name)
    own = [one for one in plugin.capabilities if registry.capabilities[one].interfaces]
    written = {one: capability_wit(registry.capabilities[one].pact) for one in own}
    invocation.out.document({"capabilities": written}, lambda: "\n".join(written.values()).rstrip())


def _plugin(registry: PluginRegistry, name: str) -> Plugin:
    plugin = next((one for one in registry.plugins if one.name == name), None)
    if plugin is None:
        known = [one.name for one in registry.plugins]
        near = get_close_matches(name, known, 1)
        fix = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(known) or 'none'}"
        raise CommandFailed("no plugin of this name is installed", fix, ExitCode.NOT_FOUND)
    return plugin


def _registry(invocation: Invocation, doing: str) -> PluginRegistry:
    from theater_bus.plugins import PluginRegistry

    invocation.doing = doing
    return PluginRegistry.discover()


class _Plugins(LazyGroup):
    """The group; its commands live in this module."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        return {"list": list_plugins, "show": show, "check": check, "wit": wit}.get(cmd_name)


command = _Plugins(
    "plugins",
    commands_by_name={
        "list": Listed(_HERE, "List the installed plugins.", "Commands"),
        "show": Listed(_HERE, "Show one plugin, its functions and settings.", "Commands"),
        "check": Listed(_HERE, "Check all plugins, or one; exit 1 when one is bad.", "Commands"),
        "wit": Listed(_HERE, "Print a plugin's interfaces as WIT.", "Commands"),
    },
    help="List, show and check the plugins.",
    short_help="List, show and check the plugins.",
)
