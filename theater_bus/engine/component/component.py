"""A compiled component: its world, and what its instances share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from theater_bus.engine import ffi_component as native
from theater_bus.engine.component.binary import Declared
from theater_bus.engine.component.crossing import Crossing
from theater_bus.engine.component.world import Endpoint, World
from theater_bus.errors import SpawnRefused

__all__ = ["CompiledComponent", "Component", "check_component"]

TOOLCHAIN_EXPORTS: Final = frozenset({"exports.init"})
"""Exports that a toolchain adds for itself (componentize-py); nobody may call them."""


class CompiledComponent:
    """Owner of a compiled component, its linker and the places of its exports; freed with the last reference."""

    __slots__ = ("__weakref__", "exports", "linker", "pointer")

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer
        self.linker = 0
        self.exports: dict[str, bytes] = {}

    def free(self) -> None:
        """Free all now. No instance may be alive."""
        for index in self.exports.values():
            native.free_export_index(index)
        self.exports = {}
        if self.linker:
            native.delete_linker(self.linker)
        if self.pointer:
            native.delete_component(self.pointer)
        self.linker = self.pointer = 0

    def __del__(self) -> None:
        self.free()


@dataclass(slots=True, eq=False)
class Component:
    """A guest component, compiled once per engine and shared by its instances.

    `sha256` is the hex digest of the bytes. `imports` are the host functions that it needs as (interface, function), in
    order, `callables` what `call` takes. `functions` finds the conversions of each, `host_functions` has those of the
    imports.
    """

    sha256: str
    size_bytes: int
    world: World
    declared: Declared
    compiled: CompiledComponent
    imports: tuple[tuple[str, str], ...]
    callables: tuple[str, ...]
    functions: dict[str, Crossing]
    host_functions: tuple[Crossing, ...]

    @property
    def memories(self) -> int:
        """How many memories the component has; its bridges have their own."""
        return max(1, self.declared.memories)

    @property
    def bridges(self) -> int:
        """How many bridges an instance has."""
        return self.world.bridges

    @property
    def resource_names(self) -> tuple[str, ...]:
        """The host resources by type number, as `interface/name`."""
        return self.world.resource_names


def callable_exports(world: World) -> dict[str, Endpoint]:
    """Name → export, without those that cannot be called and those of the toolchain."""
    return {one.name: one for one in world.exports if not one.problem and one.name not in TOOLCHAIN_EXPORTS}


def check_component(world: World) -> None:
    """Refuse a component that this host cannot run, and say what to do about it. Raises `SpawnRefused`."""
    problems = [f"the import {one.name}: {one.problem}" for one in world.imports if one.problem]
    problems += [f"the import {name} is no function" for name in world.others]
    if problems:
        raise SpawnRefused(
            f"the component cannot be linked: {'; '.join(problems)}. Fix: build it for WASI 0.2, without async "
            "functions",
            problems=problems,
        )
    async_exports = [f"{one.name}: {one.problem}" for one in world.exports if one.problem]
    if async_exports:
        raise SpawnRefused(
            f"the component exports what cannot be called: {'; '.join(async_exports)}. Fix: export it with plain "
            "values (no resources of its own, streams or futures), as a function that is not async",
            problems=async_exports,
        )
    if not callable_exports(world):
        raise SpawnRefused("the component exports no function. Fix: export one from its world")
