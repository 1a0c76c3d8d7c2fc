"""`theater-bus spawn`: from a manifest to an actor that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from theater_bus.cli.arguments import json_argument
from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.invocation import Invocation

if TYPE_CHECKING:
    from theater_bus.client.theater import Begin
    from theater_bus.core.manifest import Given

__all__ = ["command"]


@define("spawn", short_help="Start an actor from its manifest.")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--id", "actor_id", metavar="ID", help="The actor's id; without it the manifest's, else a generated one.")
@click.option("--state", metavar="JSON", help="The initial state, instead of the manifest's.")
@click.option(
    "--package", type=click.Path(path_type=Path), metavar="FILE", help="The module, instead of the manifest's."
)
@click.option(
    "--set",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    help="What ${var.NAME} in the manifest stands for; as often as there are variables.",
)
@click.option("--host", metavar="HOST", help="The host to run it; without it the one with the fewest actors.")
@click.option("--continue", "go_on", is_flag=True, help="Of an id whose chain ended, go on from its last state.")
@click.option("--fresh", is_flag=True, help="Of an id whose chain ended, go on from the initial state.")
def command(
    invocation: Invocation,
    manifest: Path,
    actor_id: str | None,
    state: str | None,
    package: Path | None,
    variables: tuple[str, ...],
    host: str | None,
    go_on: bool,
    fresh: bool,
) -> None:
    """Start an actor from its MANIFEST (TOML) and print its id when it answers.

    The package travels through the server's object store, so the host need not share a file system with you.
    """
    from theater_bus.client.unset import UNSET

    if go_on and fresh:
        raise UsageProblem("--continue and --fresh exclude one another", "use one of them")
    invocation.doing = f"spawn {manifest}"
    begin: Begin = "continue" if go_on else "fresh" if fresh else "new"
    given = _variables(variables)
    initial = UNSET if state is None else json_argument(state, "--state")
    for file in filter(None, (manifest, package)):
        if not file.is_file():
            raise FileNotFoundError(2, "there is no such file", str(file))

    async def main() -> None:
        async with invocation.theater() as theater:
            actor = await theater.spawn(
                manifest,
                package=package,
                id=actor_id,
                state=initial,
                host=host,
                begin=begin,
                variables=given,
                timeout=invocation.timeout_s,
            )
            status = await actor.get_status(timeout=invocation.timeout_s)
        shown = {"id": actor.id, "name": status.name, "host": status.host, "phase": status.phase}
        invocation.out.document(shown, lambda: actor.id)

    invocation.run(main)


def _variables(pairs: tuple[str, ...]) -> dict[str, Given]:
    """What `--set` gives. Raises `UsageProblem`."""
    from theater_bus.core.manifest import Given

    found: dict[str, Given] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageProblem(f"--set {pair!r} gives no value", "write --set NAME=VALUE")
        if name in found:
            raise UsageProblem(f"--set gives {name} twice", "leave one of the two out")
        found[name] = Given(value)
    return found
