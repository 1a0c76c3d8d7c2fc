"""`theater-bus shutdown`, also `stop`: the orderly end of an actor."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("shutdown", short_help="Stop an actor in order (also: stop).")
@click.argument("actor_id", metavar="ID")
@click.option("--grace", type=click.FloatRange(0, 600), metavar="SECONDS", help="What the running operation may take.")
@click.option("--reason", default="", help="For the chain and the log.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it has stopped.")
def command(invocation: Invocation, actor_id: str, grace: float | None, reason: str, no_wait: bool) -> None:
    """Stop actor ID in order: what is queued is refused, what runs may finish, then it ends. `stop` does the same."""
    invocation.doing = f"shut down actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            phase = await theater.actor(actor_id).shutdown(
                wait=not no_wait, grace=grace, reason=reason, timeout=invocation.timeout_s
            )
        invocation.out.document({"id": actor_id, "phase": phase}, lambda: phase)

    invocation.run(main)
