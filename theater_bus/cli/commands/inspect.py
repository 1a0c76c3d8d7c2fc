"""`theater-bus inspect`: what a WebAssembly file is, what it offers and what it needs, without running it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from theater_bus.cli.command import define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import shown_bytes

if TYPE_CHECKING:
    from theater_bus.core.values.metadata import PackageMetadata
    from theater_bus.core.values.types import Interface
    from theater_bus.engine import ModuleInfo
    from theater_bus.plugins import PluginRegistry

__all__ = ["command"]


@dataclass(frozen=True, slots=True)
class _Need:
    """An interface that the module imports: who provides it here, and what stands against that.

    `is_met`: one of them offers it as it is declared.
    """

    interface: str
    functions: tuple[str, ...]
    providers: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    is_met: bool

    def as_plain(self) -> dict[str, Any]:
        providers = [{"capability": capability, "plugin": plugin} for capability, plugin in self.providers]
        return {
            "interface": self.interface,
            "functions": list(self.functions),
            "providers": providers,
            "problems": list(self.problems),
        }

    def text(self) -> str:
        from theater_bus.core.published import distribution, provider

        if not self.providers:
            ours = provider(self.interface)
            who = "no installed plugin offers it" + (f", {distribution(ours)} would" if ours else "")
        else:
            who = " or ".join(f"[capabilities.{name}] of plugin {plugin}" for name, plugin in self.providers)
        lines = [f"{self.interface} ({', '.join(self.functions)}): {who}", *(f"  {one}" for one in self.problems)]
        return "\n".join(lines)


@define("inspect", short_help="Say what a WebAssembly file is and needs.")
@click.argument("file", type=click.Path(path_type=Path))
def command(invocation: Invocation, file: Path) -> int:
    """Say what FILE is: size, hashes, kind, functions with their types, and which capabilities it needs.

    Nothing of it is run; a component is compiled, which takes seconds for one that carries a language runtime. The exit
    code is 1 when no host would take it; what can be read is printed all the same.
    """
    from theater_bus.engine import inspect
    from theater_bus.plugins import PluginRegistry

    invocation.doing = f"inspect {file}"
    if not file.is_file():
        raise FileNotFoundError(2, "there is no such file", str(file))
    info = inspect(file.read_bytes())
    metadata, problems = _metadata(info)
    registry = PluginRegistry.discover()
    needs = _foreign(metadata, registry) if info.world is not None else []
    needs += _needs(info, metadata, registry, {need.interface for need in needs})
    shown = {
        "file": str(file),
        "size_bytes": info.size_bytes,
        "sha256": info.sha256,
        "kind": "module" if info.world is None else "component",
        "generation": None if info.generation is None else info.generation.value,
        "sections": [{"name": name, "size_bytes": size} for name, size in info.sections],
        "exports": [] if metadata is None else _functions(metadata.exports),
        "export_hashes": {} if metadata is None else {n: h.hex() for n, h in metadata.export_hashes.items()},
        "import_hashes": {} if metadata is None else {n: h.hex() for n, h in metadata.import_hashes.items()},
        "needs": [need.as_plain() for need in needs],
        "wasm_exports": [{"name": name, "kind": kind} for name, kind in info.exports],
        "problems": problems,
    }
    invocation.out.pairs(shown, _rows(file, info, metadata, needs, problems))
    return ExitCode.FAILED if problems else ExitCode.OK


def _metadata(info: ModuleInfo) -> tuple[PackageMetadata | None, list[str]]:
    """What the module declares, and why a host would refuse it."""
    from theater_bus.core.values.export_table import exported_functions
    from theater_bus.core.values.metadata import parse_metadata
    from theater_bus.errors import SpawnRefused
    from theater_bus.host.binding import world_metadata

    problems = [info.problem] if info.problem else []
    if info.world is not None:
        return world_metadata(info.world), problems
    if info.metadata is None:
        if info.generation is not None:
            problems.append(
                "it carries no metadata that can be read without running it, so nothing is known of its functions' "
                "types. Fix: add it with `theater-bus build`"
            )
        return None, problems
    try:
        metadata = parse_metadata(info.metadata)
    except SpawnRefused as error:
        return None, [*problems, error.message]
    try:
        exported_functions(metadata, info.callables)
    except SpawnRefused as error:
        problems.append(error.message)
    return metadata, [*problems, *(f"{problem}. Fix: build it again" for problem in metadata.problems)]


def _foreign(metadata: PackageMetadata | None, registry: PluginRegistry) -> list[_Need]:
    """The interfaces of a component whose types are its own: WASI."""
    from theater_bus.capability import WitCapability
    from theater_bus.plugins import foreign_function, is_compatible

    found = []
    for one in registry.capabilities.values():
        if not issubclass(one.cls, WitCapability) or metadata is None:
            continue
        offers = one.cls.offers()
        for interface in metadata.imports:
            if is_compatible(one.cls, interface.name):
                functions = [foreign_function(one.cls, interface.name, function) for function in interface.functions]
                lacking = [f"{one.name} has no function {f.name}" for f in functions if f.key not in offers]
                names = tuple(function.name for function in functions)
                found.append(_Need(interface.name, names, ((one.name, one.plugin),), tuple(lacking), not lacking))
    return found


def _needs(
    info: ModuleInfo, metadata: PackageMetadata | None, registry: PluginRegistry, known: Collection[str]
) -> list[_Need]:
    from theater_bus.core.values.contract import ENGINE_MODULES

    wanted: dict[str, list[str]] = {}
    for module, name in info.imports:
        if module not in ENGINE_MODULES and module not in known:
            wanted.setdefault(module, []).append(name)
    declared = {} if metadata is None else {interface.name: interface for interface in metadata.imports}
    needs = []
    for interface, functions in wanted.items():
        ours = declared.get(interface)
        providers, problems, is_met = [], [], False
        for capability, offered in registry.providers(interface):
            fitting = capability.version_for({} if ours is None else {interface: ours})
            theirs = next((one for one in fitting.interfaces if one.name == interface), offered)
            found = _differences(functions, ours, theirs, capability.name, info.world is not None)
            providers.append((capability.name, capability.plugin))
            problems += found
            is_met = is_met or not found
        needs.append(_Need(interface, tuple(functions), tuple(providers), tuple(problems), is_met))
    return needs


def _differences(
    names: Sequence[str], ours: Interface | None, theirs: Interface, capability: str, is_component: bool
) -> list[str]:
    """Why the capability cannot provide these functions as the module declares them."""
    from theater_bus.core.values.codec_wit import wit_function
    from theater_bus.core.values.contract import function_difference

    problems = []
    for name in names:
        declared, offered = None if ours is None else ours.function(name), theirs.function(name)
        if offered is not None and is_component:
            offered = wit_function(offered)
        if offered is None:
            problems.append(f"{capability} has no function {name}")
        elif declared is not None and (difference := function_difference(declared, offered)) is not None:
            problems.append(f"{name}: {difference.path} is {difference.left} here, {difference.right} in {capability}")
    return problems


def _functions(interfaces: Sequence[Interface]) -> list[dict[str, Any]]:
    from theater_bus.core.values.pact_format import format_function

    return [
        {
            "interface": interface.name,
            "name": function.name,
            "signature": f"{function.name}: {format_function(function)}",
        }
        for interface in interfaces
        for function in interface.functions
    ]


def _rows(
    file: Path, info: ModuleInfo, metadata: PackageMetadata | None, needs: Sequence[_Need], problems: Sequence[str]
) -> list[tuple[str, str]]:
    rows = [
        ("file", f"{file} ({shown_bytes(info.size_bytes)})"),
        ("sha256", info.sha256),
        ("kind", _kind(info)),
    ]
    if info.sections:
        rows.append(("sections", ", ".join(f"{name} {shown_bytes(size)}" for name, size in _sections(info))))
    if metadata is not None:
        listed = _functions(metadata.exports)
        rows.append(("exports", "\n".join(_full(one) for one in listed) or "none"))
        hashes = [
            f"{digest.hex()}  {name or '(functions without interface)'}"
            for name, digest in metadata.export_hashes.items()
        ]
        rows.append(("export hashes", "\n".join(hashes) or "none"))
    if info.generation is not None or info.world is not None:
        rows.append(("needs", "\n".join(need.text() for need in needs) or "no capability"))
    rows.append(("verdict", "\n".join(problems) or _verdict(needs)))
    return rows


def _verdict(needs: Sequence[_Need]) -> str:
    """Of what nothing stands against but what is installed here."""
    lacking = [need.interface for need in needs if not need.is_met]
    if not lacking:
        return "a host can run it"
    return f"only a host can run it whose plugins offer, as it is declared here: {', '.join(lacking)}"


def _kind(info: ModuleInfo) -> str:
    if info.world is not None:
        return f"component ({info.memories} memories)" if info.memories != 1 else "component"
    return "none" if info.generation is None else f"{info.generation.value} module"


def _sections(info: ModuleInfo) -> list[tuple[str, int]]:
    """The sections, those of one kind together: a component has hundreds."""
    found: dict[str, int] = {}
    for name, size in info.sections:
        found[name] = found.get(name, 0) + size
    return list(found.items())


def _full(one: dict[str, Any]) -> str:
    return f"{one['interface']}.{one['signature']}" if one["interface"] else str(one["signature"])
