"""What can be said of a capability without running it: its names, its annotations, its settings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Final

from theater_bus.capability import Capability, Settings
from theater_bus.plugins import CapabilityType
from theater_bus.testing.suite.case import Case, Finding

__all__ = ["check_declarations"]

_KEBAB: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_INTERFACE: Final = re.compile(rf"{_KEBAB.pattern}:{_KEBAB.pattern}/{_KEBAB.pattern}(@[0-9.]+)?")
_SNAKE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def check_declarations(case: Case, type_: CapabilityType) -> Iterator[Finding]:
    """Findings of the points `names`, `types`, `grants` and `snapshot`."""
    yield from _names(case.cls, type_)
    yield from _annotations(case.cls, type_)
    yield from _settings(case, type_)
    cls = case.cls
    if cls.snapshot is not Capability.snapshot and cls.restore is Capability.restore:
        yield Finding("snapshot", _of(cls), "it gives snapshots, and refuses all of them", "write `restore` too")


def _names(cls: type[Capability], type_: CapabilityType) -> Iterator[Finding]:
    if not _KEBAB.fullmatch(type_.name):
        yield Finding("names", _of(cls), f"the name {type_.name!r} is not kebab-case", "write it like `key-value`")
    if not (cls.__doc__ or "").strip() or cls.__doc__ == Capability.__doc__:
        yield Finding("names", _of(cls), "the class has no docstring", "say in a line what it offers")
    for interface in type_.interfaces:
        if not _INTERFACE.fullmatch(interface.name):
            problem = f"the interface {interface.name!r} is not `vendor:package/name`"
            fix = 'give the pact a `@package: string = "vendor:package"`'
            yield Finding("names", type_.pact.source, problem, fix)
    for (interface_name, name), function in type_.functions.items():
        for one in (name, *[param.name for param in function.declaration.params]):
            if not _KEBAB.fullmatch(one):
                where = f"{type_.pact.source}: {interface_name}.{name}"
                yield Finding("names", where, f"{one!r} is not kebab-case", "write it like `get-chain`")
    for field in cls.Settings.model_fields:
        if not _SNAKE.fullmatch(field):
            yield Finding("names", f"{_of(cls)}.Settings", f"{field!r} is not snake_case", "write it like `max_bytes`")


def _annotations(cls: type[Capability], type_: CapabilityType) -> Iterator[Finding]:
    """Types come from annotations: one that is not there agrees with every pact."""
    for function in type_.functions.values():
        signature = inspect.signature(getattr(cls, function.method))
        bare = [name for name, one in list(signature.parameters.items())[1:] if one.annotation is one.empty]
        if signature.return_annotation is signature.empty:
            bare.append("return")
        if bare:
            problem = f"not annotated: {', '.join(bare)}"
            yield Finding("types", f"{_of(cls)}.{function.method}", problem, "annotate it, `-> None` included")


def _settings(case: Case, type_: CapabilityType) -> Iterator[Finding]:
    cls, where = case.cls, f"{_of(case.cls)}.Settings"
    base: type = Settings
    if not issubclass(cls.Settings, base):
        yield Finding("grants", where, "it is no settings class of theater_bus", "derive it from `Settings`")
        return
    config = cls.Settings.model_config
    if config.get("extra") != "forbid":
        yield Finding("grants", where, "it takes keys that it does not know", 'keep `extra="forbid"`')
    if not config.get("frozen"):
        yield Finding("grants", where, "an instance can widen its own grants", "keep `frozen=True`")
    bounds = [name for name, kind in cls.grant_bounds().items() if kind is not None]
    if bounds and not case.refused:
        fix = f'show one that is refused, `refused=[Example("{next(iter(type_.functions))[1]}", …)]`'
        yield Finding("grants", where, f"nothing shows that {', '.join(bounds)} hold an actor back", fix)


def _of(cls: type[Capability]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
