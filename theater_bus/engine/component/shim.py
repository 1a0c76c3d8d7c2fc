"""An interface put together again from functions that pass a bridge and those that do not.

Methods of resources may only be exported by a component that knows the resource by its name; this one has nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from theater_bus.engine.component.bridge import Bridged, guest_side, instance_text
from theater_bus.engine.component.wit_type import Naming, WitType, resources

__all__ = ["Member", "shim_resources", "shim_text"]

Member = WitType | Bridged
"""What an interface holds: a type, for a resource the handle that owns it, or a function."""


def shim_resources(members: Mapping[str, Member]) -> list[str]:
    """The resources that a shim imports."""
    types = [one for one in members.values() if isinstance(one, WitType)]
    functions = [one for one in members.values() if isinstance(one, Bridged)]
    found = {name for one in types for name in resources(one)} | {name for one in functions for name in one.resources}
    return sorted(found)


def shim_text(members: Mapping[str, Member]) -> str:
    """The component: imports resources and the instance "a" of the functions, exports `members` under their names.

    Types that an interface uses without naming them have names of ours.
    """
    functions: Sequence[Bridged] = [one for one in members.values() if isinstance(one, Bridged)]
    names = Naming("theater-bus-")
    parts = [f'(import "{name}" (type ${name} (sub resource)))' for name in shim_resources(members)]
    parts.append(f'(import "a" (instance $a {instance_text(functions, False)}))')
    for place, (name, member) in enumerate(members.items()):
        declared = len(names.definitions)
        written = _exported(name, f"m{place}", member, names)
        parts += [
            f'(type ${one}d {text}) (export ${one} "{one}" (type ${one}d))'
            for one, text in names.definitions[declared:]
        ]
        parts.append(written)
    return f"(component {' '.join(parts)})"


def _exported(name: str, identifier: str, member: Member, names: Naming) -> str:
    if isinstance(member, Bridged):
        n = member.number
        return f'(alias export $a "f{n}" (func $f{n})) (export "{name}" (func $f{n}) (func{guest_side(member, names)}))'
    if member.kind == "own":
        names.know_resource(member.names[0], identifier)
        return f'(export ${identifier} "{name}" (type ${member.names[0]}))'
    definition = names.definition(member)
    names.know(member, identifier)
    return f'(type ${identifier}d {definition}) (export ${identifier} "{name}" (type ${identifier}d))'
