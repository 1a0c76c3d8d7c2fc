"""Find plugins by entry point and load each on its own, so that a bad one is named and hides no other."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

import pluggy

from theater_bus.capability import API
from theater_bus.capability.hooks import PROJECT
from theater_bus.errors import PluginError
from theater_bus.plugins.hookspecs import HOOK_NAMES, Hookspecs

__all__ = ["GROUP", "Found", "Plugin", "Status", "find", "load"]

GROUP = "theater_bus"

Status = Literal["loaded", "not-allowed", "failed"]


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point in the group `theater_bus`, not imported yet."""

    name: str
    value: str
    distribution: str
    version: str


@dataclass(slots=True)
class Plugin:
    """A plugin and what became of it. `error` says why it is not loaded."""

    found: Found
    status: Status
    error: PluginError | None = None
    module: object | None = None
    hooks: tuple[str, ...] = ()
    capabilities: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The entry point's name: what `plugins.allow` lists and what messages say."""
        return self.found.name

    def fail(self, error: PluginError) -> None:
        """Take the plugin out: `error` is what `plugins list` and `plugins check` show."""
        self.status, self.error = "failed", error


def find() -> list[Found]:
    """Every installed plugin, by name. Nothing is imported."""
    entries = importlib.metadata.entry_points(group=GROUP)
    found = [Found(e.name, e.value, e.dist.name if e.dist else "?", e.dist.version if e.dist else "?") for e in entries]
    return sorted(set(found), key=lambda f: (f.name, f.distribution))


def load(
    manager: pluggy.PluginManager,
    found: Sequence[Found],
    *,
    allow: frozenset[str] | None = None,
    extra: Iterable[tuple[str, object]] = (),
) -> list[Plugin]:
    """Import and register plugins with `manager`.

    `allow` None allows all; otherwise a plugin that is not named in it is not even imported. `extra` are (name, module
    or object) pairs that an embedding application or a test brings along; they are always allowed.
    """
    manager.add_hookspecs(Hookspecs)
    plugins: list[Plugin] = []
    taken: dict[str, Found] = {}
    for entry in found:
        plugin = Plugin(entry, "not-allowed")
        plugins.append(plugin)
        if allow is not None and entry.name not in allow:
            continue
        if entry.name in taken:
            other = taken[entry.name]
            plugin.fail(
                PluginError(
                    entry.name,
                    f"entry point of {entry.distribution}",
                    f"the name is taken by {other.distribution} ({other.value})",
                    "uninstall one of the two distributions",
                )
            )
            continue
        taken[entry.name] = entry
        _register(manager, plugin, None)
    for name, module in extra:
        plugin = Plugin(Found(name, getattr(module, "__name__", type(module).__name__), "(in process)", "-"), "loaded")
        plugins.append(plugin)
        _register(manager, plugin, module)
    return plugins


def _register(manager: pluggy.PluginManager, plugin: Plugin, module: object | None) -> None:
    where = f"{plugin.found.value} of {plugin.found.distribution} {plugin.found.version}"
    try:
        module = module if module is not None else _import(plugin.found)
        _check_api(plugin.name, where, module)
        _check_names(plugin.name, where, module)
        manager.register(module, name=plugin.name)
        manager.check_pending()
    except PluginError as error:
        plugin.fail(error)
    except pluggy.PluginValidationError as error:
        manager.unregister(name=plugin.name)
        problem = str(error).replace("\n", "; ")
        plugin.fail(PluginError(plugin.name, where, problem, "use the parameter names of the hook's specification"))
    except Exception as error:  # noqa: BLE001  a plugin's import may raise anything; it is recorded under its name
        fix = "repair or uninstall the plugin, or leave it out of plugins.allow"
        failure = PluginError(plugin.name, where, f"{type(error).__name__}: {error}", fix)
        failure.__cause__ = error
        plugin.fail(failure)
    else:
        plugin.status, plugin.module = "loaded", module
        plugin.hooks = tuple(name for name in HOOK_NAMES if hasattr(module, name))


def _import(found: Found) -> ModuleType:
    entry = importlib.metadata.EntryPoint(found.name, found.value, GROUP)
    module = entry.load()
    if not isinstance(module, ModuleType):
        raise PluginError(
            found.name, found.value, "the entry point does not name a module", 'write it as `name = "package.module"`'
        )
    return module


def _check_api(name: str, where: str, module: object) -> None:
    wanted = getattr(module, "requires_api", API)
    if wanted != API:
        raise PluginError(
            name, where, f"it is written for API {wanted}, this is API {API}", "install a version for this API"
        )


def _check_names(name: str, where: str, module: object) -> None:
    """Refuse a marked function that is no hook: a typing error would otherwise mean that it is never called."""
    for attribute in dir(module):
        function = getattr(module, attribute, None)
        if getattr(function, f"{PROJECT}_impl", None) is not None and attribute not in HOOK_NAMES:
            raise PluginError(
                name, f"{where}: {attribute}", "there is no hook of that name", f"hooks are {', '.join(HOOK_NAMES)}"
            )
