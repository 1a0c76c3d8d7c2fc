"""`theater-bus terminate`: the end of an actor at once."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("terminate", short_help="Stop an actor at once.")
@click.argument("actor_id", metavar="ID")
@click.option("--no-wait", is_flag=True, help="Do not wait until it has stopped.")
def command(invocation: Invocation, actor_id: str, no_wait: bool) -> None:
    """Stop actor ID at once: the running operation is cut and rolled back."""
    invocation.doing = f"terminate actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            phase = await theater.actor(actor_id).terminate(wait=not no_wait, timeout=invocation.timeout_s)
        invocation.out.document({"id": actor_id, "phase": phase}, lambda: phase)

    invocation.run(main)
