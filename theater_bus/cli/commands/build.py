"""`theater-bus build`: from a guest's source and its pact to a module that a host runs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import shown_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from theater_bus.core.values.types import Interface

__all__ = ["command", "provided_interfaces"]


@define("build", short_help="Make a guest from text, C or a module and its pact.")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--pact", type=click.Path(path_type=Path), metavar="FILE", help="The pact; by default the source's name in .pact."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; by default beside it.")
@click.option(
    "-I",
    "--include",
    type=click.Path(path_type=Path, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="Look for C headers here too.",
)
@click.option("--header", is_flag=True, help="Write a C header with the metadata of the pact SOURCE instead.")
def command(
    invocation: Invocation, source: Path, pact: Path | None, out: Path | None, include: tuple[Path, ...], header: bool
) -> None:
    """Make a guest from SOURCE and its pact: .wat is assembled, .c compiled (package ziglang), .wasm gets metadata.

    The same files give the same bytes on every machine.
    """
    from theater_bus.engine import building

    invocation.doing = f"build {source}"
    if not source.is_file():
        raise FileNotFoundError(2, "there is no such file", str(source))
    if header:
        target = out or source.with_suffix(".h")
        data = building.header(pact or source, provided_interfaces()).encode()
    else:
        if source.suffix == ".wasm" and out is None:
            raise UsageProblem("a .wasm would be overwritten by what is made of it", "name the result with --out FILE")
        target = out or source.with_suffix(".wasm")
        data = building.build(source, pact, provided_interfaces(), include)
    target.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    shown = {"file": str(target), "size_bytes": len(data), "sha256": digest}
    invocation.out.document(shown, lambda: f"{target}: {shown_bytes(len(data))}, sha256 {digest}")


def provided_interfaces() -> Mapping[str, Interface]:
    """The interfaces of the installed capabilities: a pact may import them by name."""
    from theater_bus.plugins import PluginRegistry

    registry = PluginRegistry.discover()
    return {one.name: one for capability in registry.capabilities.values() for one in capability.interfaces}
