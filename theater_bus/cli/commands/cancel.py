"""`theater-bus cancel`: the end of one operation."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("cancel", short_help="End one operation, queued or running.")
@click.argument("actor_id", metavar="ID")
@click.argument("key")
@click.option("--caller", metavar="NAME", help="The name that it was called under, if it was.")
def command(invocation: Invocation, actor_id: str, key: str, caller: str | None) -> None:
    """End the operation of actor ID that was called with KEY: queued, it never runs; running, it is rolled back."""
    invocation.doing = f"cancel the operation {key!r} of actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater(caller) as theater:
            found = await theater.actor(actor_id).cancel(key, timeout=invocation.timeout_s)
        if found == "none":
            raise CommandFailed(
                "no operation with this key is queued or running; it may have ended",
                f"`theater-bus status {actor_id}` says what runs",
                ExitCode.NOT_FOUND,
            )
        invocation.out.document({"id": actor_id, "key": key, "cancelled": found}, lambda: f"cancelled, it was {found}")

    invocation.run(main)
