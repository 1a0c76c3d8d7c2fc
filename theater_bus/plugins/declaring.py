"""What a capability class says of itself without a pact: its name, and settings that are bounds with a default each.

What is wrong here would otherwise come to light in an actor: a manifest could not write the name, and the first spawn
that leaves the setting out would fail.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import PydanticSerializationError

from theater_bus.capability import Capability
from theater_bus.core.grants import EXACT
from theater_bus.core.manifest import CAPABILITY_NAME
from theater_bus.errors import PluginError

__all__ = ["declared_name", "refuse_unusable_settings"]

_EXAMPLE: Final = 'name it like `name = "key-value"`'


def declared_name(plugin: str, where: str, cls: type[Capability]) -> str:
    """The name as manifests write it. Raises `PluginError` for none, and for one that no manifest can hold."""
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name:
        raise PluginError(plugin, where, "the class has no `name`", 'add `name = "…"`, as manifests will write it')
    wrong = CAPABILITY_NAME.check(name)
    if wrong:
        raise PluginError(plugin, where, f"its `name` {wrong}, so no manifest can ask for it", _EXAMPLE)
    return name


def refuse_unusable_settings(plugin: str, where: str, cls: type[Capability]) -> None:
    """Raise `PluginError` for a setting without a default, or whose default is not of its kind of bound."""
    where = f"{where}.Settings"
    required = [name for name, one in cls.Settings.model_fields.items() if one.is_required()]
    if required:
        problem = f"no default for {', '.join(required)}, and a manifest may leave any setting out"
        raise PluginError(plugin, where, problem, "give each a default that allows the least")
    try:
        defaults = cls.Settings().model_dump(mode="json", warnings=False)
    except (ValueError, TypeError, PydanticSerializationError) as error:
        problem = f"the defaults are no settings: {' '.join(str(error).split())}"
        raise PluginError(plugin, where, problem, "give each setting a default of its own type") from error
    for name, kind in cls.grant_bounds().items():
        kind = kind or EXACT
        try:
            kind.read(defaults[name])
        except ValueError as error:
            problem = f"the default of {name}, a bound of the kind {kind.name.upper()}, {error}"
            fix = f"give {name} a default that fits, or another kind of bound"
            raise PluginError(plugin, where, problem, fix) from error
