"""What satisfies each import of a guest, and what a component declares in the terms of a Pack module.

Invariant: a guest never runs with an import that nobody provides, or whose types are not those of who provides it; the
message names the plugin that would, or the version that it was built for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from theater_bus.capability import Capability, WitCapability
from theater_bus.core.values.codec_wit import wit_function
from theater_bus.core.values.contract import ImportBinding, Provided, check_imports
from theater_bus.core.values.export_table import LIFECYCLE_INTERFACE, Export
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.metadata import PackageMetadata
from theater_bus.core.values.types import Function, Interface, ResultOf, Scalar, TupleOf, Type
from theater_bus.engine import Component, World
from theater_bus.errors import SpawnRefused
from theater_bus.plugins import (
    CapabilityType,
    ForeignFunction,
    HostFunction,
    PluginRegistry,
    foreign_function,
    is_compatible,
    unversioned,
)

__all__ = [
    "Binding",
    "ambient",
    "bind_component",
    "bound",
    "component_exports",
    "component_metadata",
    "functions_of",
    "is_stateful_export",
    "renew_foreign",
    "under_claimed_names",
    "world_metadata",
]

CLIENT_SUFFIX = "-client"


@dataclass(frozen=True, slots=True)
class Binding:
    """One import and what satisfies it: a function of the capability `provider`."""

    provider: str
    function: HostFunction | ForeignFunction


def functions_of(
    capabilities: Sequence[CapabilityType], adopted: Mapping[tuple[str, str], HostFunction]
) -> dict[tuple[str, str], HostFunction]:
    """All functions that an actor of these capabilities can import, by interface and name."""
    found = dict(adopted)
    for one in capabilities:
        found |= one.functions
    return found


def bound(bindings: Sequence[ImportBinding], functions: Mapping[tuple[str, str], HostFunction]) -> tuple[Binding, ...]:
    """The functions behind the checked imports of a Pack module."""
    return tuple(Binding(one.provider, functions[one.interface, one.name]) for one in bindings)


# -- what a component declares -----------------------------------------------------------------------------------------


def component_metadata(component: Component) -> PackageMetadata:
    """A component's own types, as a Pack module's metadata would have them."""
    return world_metadata(component.world)


def world_metadata(world: World) -> PackageMetadata:
    """As `component_metadata`, for what was only looked at."""
    imports, exports = world.import_interfaces(), world.export_interfaces()
    hashes = [MappingProxyType({one.name: interface_hash(one) for one in side}) for side in (imports, exports)]
    return PackageMetadata(imports, exports, hashes[0], hashes[1], declared_hashes=False)


def component_exports(component: Component) -> dict[str, Export]:
    """Callable name → export. Raises `SpawnRefused` when two of them have different states.

    Exports that take handles on resources are not callable: only a host may choose which resource is meant.
    """
    table: dict[str, Export] = {}
    for name, crossing in component.functions.items():
        one = crossing.endpoint
        if not one.has_handles:
            stateful = is_stateful_export(one.function)
            lifecycle = one.interface == LIFECYCLE_INTERFACE
            table[name] = Export(name, one.interface, one.function, name, stateful, lifecycle)
    states: dict[Type, str] = {}
    for export in table.values():
        if export.stateful:
            states.setdefault(export.function.params[0].type, export.name)
    if len(states) > 1:
        listed = " and ".join(f"`{name}`" for name in states.values())
        raise SpawnRefused(f"{listed} take states of different types. Fix: give all functions one type of state")
    return table


def is_stateful_export(function: Function) -> bool:
    """Whether an export of a component is an actor function: `state` first, `result<tuple<state, …>, string>` out."""
    result = function.result
    if not function.params or function.params[0].name != "state" or not isinstance(result, ResultOf):
        return False
    if result.err is not Scalar.STRING or not isinstance(result.ok, TupleOf):
        return False
    return result.ok.items[0] == function.params[0].type


def under_claimed_names(exports: Mapping[str, Export], claimed: Collection[str]) -> dict[str, Export]:
    """The exports under the names by which capabilities call them.

    WIT gives a name one content, so the exported half of an interface that is imported too is called `NAME-client`.
    """
    found: dict[str, Export] = {}
    for name, export in exports.items():
        interface = export.interface
        if interface not in claimed and interface.removesuffix(CLIENT_SUFFIX) in claimed:
            interface = interface.removesuffix(CLIENT_SUFFIX)
            name = f"{interface}.{export.function.name}"
            export = replace(export, name=name, interface=interface)
        found[name] = export
    return found


# -- what satisfies a component's imports ------------------------------------------------------------------------------


def ambient(
    metadata: PackageMetadata, capabilities: Sequence[CapabilityType], registry: PluginRegistry
) -> tuple[CapabilityType, ...]:
    """The `WitCapability`s that a component imports from and its manifest does not name: they grant nothing."""
    named = {one.name for one in capabilities}
    return tuple(
        one
        for name, one in sorted(registry.capabilities.items())
        if name not in named and issubclass(one.cls, WitCapability) and _imports_of(one.cls, metadata)
    )


def _imports_of(cls: type[WitCapability], metadata: PackageMetadata) -> list[Interface]:
    return [one for one in metadata.imports if is_compatible(cls, one.name)]


def bind_component(
    component: Component,
    metadata: PackageMetadata,
    capabilities: Sequence[CapabilityType],
    functions: Mapping[tuple[str, str], HostFunction],
    provided: Provided,
    available: Provided,
    installed: Collection[CapabilityType],
) -> tuple[Binding, ...]:
    """Bind every import of a component; `installed` is for messages. Raises `SpawnRefused` with all that is wrong."""
    found: list[Binding] = []
    problems: list[str] = []
    foreign: set[str] = set()
    for capability in capabilities:
        if issubclass(capability.cls, WitCapability):
            for interface in _imports_of(capability.cls, metadata):
                foreign.add(interface.name)
                problems += _bind_foreign(capability, interface, found)
    rest = [one for one in component.imports if one[0] not in foreign]
    problems += [
        text for name in dict.fromkeys(name for name, _ in rest) for text in _version(name, installed, available)
    ]
    if problems:
        listed = problems[0] if len(problems) == 1 else "".join(f"\n  {problem}" for problem in problems)
        raise SpawnRefused(f"the component's imports are not satisfied: {listed}", problems=problems)
    check = check_imports(metadata, rest, _in_wit(provided), available)
    for one in check.require():
        found.append(Binding(one.provider, functions[one.interface, one.name].for_components()))
    return tuple(found)


def _bind_foreign(capability: CapabilityType, interface: Interface, found: list[Binding]) -> list[str]:
    assert issubclass(capability.cls, WitCapability)
    offers = capability.cls.offers()
    problems = []
    for function in interface.functions:
        one = foreign_function(capability.cls, interface.name, function)
        if one.key in offers:
            found.append(Binding(capability.name, one))
        else:
            problems.append(f"{interface.name}: capability `{capability.name}` has no function `{function.name}`")
    return problems


def _version(name: str, installed: Collection[CapabilityType], available: Provided) -> list[str]:
    """What is wrong with the version that an import asks for, if that is all that is wrong with it."""
    bare, _, version = name.partition("@")
    package = bare.partition("/")[0]
    for one in installed:
        implemented = one.cls.packages.get(package) if issubclass(one.cls, WitCapability) else None
        if implemented is not None:
            return [
                f"{name}: capability `{one.name}` implements version {implemented} of {package}. "
                f"Fix: build the guest for {implemented}"
            ]
    if version and name not in available and any(unversioned(other) == bare for other in available):
        offered = next(other for other in available if unversioned(other) == bare)
        return [
            f"{name}: what is installed offers `{offered}`. Fix: build the guest with the WIT in the plugin's folder"
        ]
    if package.startswith("wasi:") and not any(name == other for other in available):
        return [f"{name}: no installed plugin offers it. Fix: install theater-bus-wasi"]
    return []


def _in_wit(provided: Provided) -> dict[str, list[tuple[str, Interface]]]:
    """The interfaces as a component declares them."""
    return {
        name: [(who, Interface(one.name, tuple(map(wit_function, one.functions)))) for who, one in offers]
        for name, offers in provided.items()
    }


# -- resources ---------------------------------------------------------------------------------------------------------


def renew_foreign(capabilities: Mapping[str, Capability]) -> Callable[[str, int], None] | None:
    """Tell an actor's `WitCapability`s that its instance is new; gives what to call when that drops a resource."""
    owners = [one for one in capabilities.values() if isinstance(one, WitCapability)]
    if not owners:
        return None
    for one in owners:
        one.renewed()

    def dropped(resource: str, number: int) -> None:
        interface, _, name = resource.rpartition("/")
        for one in owners:
            if is_compatible(type(one), interface):
                one.dropped(f"{unversioned(interface)}/{name}", number)

    return dropped
