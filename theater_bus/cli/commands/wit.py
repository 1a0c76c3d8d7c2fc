"""`theater-bus wit`: the world of an actor, so that its component can be written in any language."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from theater_bus.cli.command import define
from theater_bus.cli.commands.build import provided_interfaces
from theater_bus.cli.invocation import Invocation

if TYPE_CHECKING:
    from theater_bus.core.values.pact import PactFile

__all__ = ["command"]


@define("wit", short_help="Write a pact as WIT, for components in any language.")
@click.argument("pact", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; by default to stdout.")
def command(invocation: Invocation, pact: Path, out: Path | None) -> None:
    """Write the world of the actor that PACT declares, complete with the interfaces that it imports and exports."""
    from theater_bus.core.values.wit import actor_wit

    invocation.doing = f"write the WIT of {pact}"
    text = actor_wit(_read(pact), provided_interfaces())
    if out is None:
        invocation.out.document({"wit": text}, text.rstrip)
        return
    out.write_text(text, "utf-8")
    invocation.out.document({"file": str(out)}, lambda: str(out))


def _read(pact: Path) -> PactFile:
    from theater_bus.engine.building import read_pact

    if not pact.is_file():
        raise FileNotFoundError(2, "there is no such file", str(pact))
    return read_pact(pact)
