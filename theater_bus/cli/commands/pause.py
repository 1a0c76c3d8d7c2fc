"""`theater-bus pause`."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("pause", short_help="Keep what arrives in the mailbox.")
@click.argument("actor_id", metavar="ID")
def command(invocation: Invocation, actor_id: str) -> None:
    """Keep what arrives for actor ID in its mailbox; the running operation finishes."""
    invocation.doing = f"pause actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            phase = await theater.actor(actor_id).pause(timeout=invocation.timeout_s)
        invocation.out.document({"id": actor_id, "phase": phase}, lambda: phase)

    invocation.run(main)
