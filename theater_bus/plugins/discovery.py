"""Find plugins by entry point and load each on its own, so that a bad one is named and hides no other."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

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

    def __str__(self) -> str:
        return f"{self.value} of {self.distribution} {self.version}"


@dataclass(slots=True)
class Plugin:
    """A plugin and what became of it. `error` says why it is not loaded; `implementations` are its hooks by name."""

    found: Found
    status: Status = "not-allowed"
    error: PluginError | None = None
    implementations: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The entry point's name: what `plugins_allow` lists and what messages say."""
        return self.found.name

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that it implements."""
        return tuple(self.implementations)

    def fail(self, error: PluginError) -> None:
        """Take the plugin out: `error` is what `plugins list` and `plugins check` show."""
        self.status, self.error, self.implementations = "failed", error, {}


def find() -> list[Found]:
    """Every installed plugin, by name. Nothing is imported."""
    entries = importlib.metadata.entry_points(group=GROUP)
    found = [Found(e.name, e.value, e.dist.name if e.dist else "?", e.dist.version if e.dist else "?") for e in entries]
    return sorted(set(found), key=lambda f: (f.name, f.distribution))


def load(
    found: Sequence[Found], *, allow: frozenset[str] | None = None, extra: Iterable[tuple[str, object]] = ()
) -> list[Plugin]:
    """Import and check plugins, each on its own.

    `allow` None allows all; otherwise a plugin that is not named in it is not even imported, and a name that is not
    installed is a failed plugin. `extra` are (name, module or object) pairs that an embedding application or a test
    brings along; they are always allowed.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hookspecs)
    plugins: list[Plugin] = []
    taken: dict[str, Found] = {}
    brought = [(Found(name, _module_name(module), "(in process)", "-"), module) for name, module in extra]
    for entry, module in [*((one, None) for one in found), *brought]:
        plugin = Plugin(entry)
        plugins.append(plugin)
        if module is None and allow is not None and entry.name not in allow:
            continue
        other = taken.setdefault(entry.name, entry)
        if other is not entry:
            problem = f"the name is taken by {other}"
            plugin.fail(PluginError(entry.name, str(entry), problem, "uninstall one of the two distributions"))
            continue
        _register(manager, plugin, module)
    return plugins + [_missing(name) for name in sorted((allow or frozenset()) - {one.name for one in found})]


def _missing(name: str) -> Plugin:
    plugin = Plugin(Found(name, "?", "?", "?"))
    problem = f"no installed distribution has an entry point {name!r} in the group {GROUP!r}"
    plugin.fail(PluginError(name, "plugins_allow", problem, "install the plugin, or take it out of plugins_allow"))
    return plugin


def _module_name(module: object) -> str:
    return str(getattr(module, "__name__", type(module).__name__))


def _register(manager: pluggy.PluginManager, plugin: Plugin, module: object | None) -> None:
    where = str(plugin.found)
    try:
        module = module if module is not None else _import(plugin.found)
        _check_api(plugin.name, where, module)
        _check_marks(plugin.name, where, module)
        manager.register(module, name=plugin.name)
    except PluginError as error:
        plugin.fail(error)
    except pluggy.PluginValidationError as error:
        manager.unregister(name=plugin.name)
        problem = "; ".join(line.strip() for line in str(error).splitlines())
        plugin.fail(PluginError(plugin.name, where, problem, "use the parameter names of the hook's specification"))
    except (Exception, SystemExit) as error:  # noqa: BLE001  an import may raise anything; it is recorded by name
        fix = "repair or uninstall the plugin, or leave it out of plugins_allow"
        failure = PluginError(plugin.name, where, _told(error), fix)
        failure.__cause__ = error
        plugin.fail(failure)
    else:
        plugin.status = "loaded"
        plugin.implementations = {
            name: impl.function
            for name in HOOK_NAMES
            for impl in getattr(manager.hook, name).get_hookimpls()
            if impl.plugin is module
        }


def _told(error: BaseException) -> str:
    """What went wrong, also where the error cannot even be shown."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  the text of a plugin's own exception may raise anything
        return type(error).__name__


def _import(found: Found) -> ModuleType:
    module = importlib.metadata.EntryPoint(found.name, found.value, GROUP).load()
    if not isinstance(module, ModuleType):
        problem = "the entry point does not name a module"
        raise PluginError(found.name, str(found), problem, 'write it as `name = "package.module"`')
    return module


def _check_api(name: str, where: str, module: object) -> None:
    wanted = getattr(module, "requires_api", API)
    if wanted != API:
        problem = f"it is written for API {wanted!r}, this is API {API}"
        raise PluginError(name, where, problem, "install a version of the plugin, or of theater-bus, that fits")


def _check_marks(name: str, where: str, module: object) -> None:
    """Refuse what pluggy would pass over: a misspelt hook, one without its mark, and options without an effect."""
    for attribute in dir(module):
        function = inspect.getattr_static(module, attribute, None)
        options = getattr(function, f"{PROJECT}_impl", None)
        place = f"{where}: {attribute}"
        if options is None:
            if attribute in HOOK_NAMES and callable(function):
                problem = "it has the name of a hook and is not marked as one"
                raise PluginError(name, place, problem, "write @hookimpl above it, or rename it")
        elif attribute not in HOOK_NAMES:
            raise PluginError(name, place, "there is no hook of that name", f"hooks are {', '.join(HOOK_NAMES)}")
        elif any(options.values()):
            given = ", ".join(sorted(option for option, value in options.items() if value))
            problem = f"hookimpl({given}) has no meaning here: hooks register, and are ordered by name"
            raise PluginError(name, place, problem, "write @hookimpl without options; order is the middleware's")
