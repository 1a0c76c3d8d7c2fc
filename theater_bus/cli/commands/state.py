"""`theater-bus state`: the state after the last acknowledged operation."""

from __future__ import annotations

import json

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import json_form

__all__ = ["command"]


@define("state", short_help="Print an actor's state.")
@click.argument("actor_id", metavar="ID")
def command(invocation: Invocation, actor_id: str) -> None:
    """Print the state of actor ID after its last acknowledged operation, as JSON."""
    invocation.doing = f"read the state of actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            state = json_form(await theater.actor(actor_id).get_state(timeout=invocation.timeout_s))
        invocation.out.document(state, lambda: json.dumps(state, ensure_ascii=False, indent=2))

    invocation.run(main)
