"""`theater-bus resume`."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("resume", short_help="Go on after a pause.")
@click.argument("actor_id", metavar="ID")
def command(invocation: Invocation, actor_id: str) -> None:
    """Let actor ID go on after a pause."""
    invocation.doing = f"resume actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            phase = await theater.actor(actor_id).resume(timeout=invocation.timeout_s)
        invocation.out.document({"id": actor_id, "phase": phase}, lambda: phase)

    invocation.run(main)
