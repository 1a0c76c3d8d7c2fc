"""`theater-bus send`: an operation one way."""

from __future__ import annotations

import click

from theater_bus.cli.arguments import parameters
from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define(
    "send", short_help="Send an operation one way; nobody answers.", context_settings={"ignore_unknown_options": True}
)
@click.argument("actor_id", metavar="ID")
@click.argument("function")
@click.argument("params", nargs=-1, metavar="[JSON]...")
@click.option("--named", metavar="JSON", help="""Parameters by name: '{"by": 5}'.""")
@click.option("--key", help="Idempotency key: sent twice, it runs once.")
@click.option("--caller", metavar="NAME", help="The name to send under, where NATS permissions are written for it.")
def command(
    invocation: Invocation,
    actor_id: str,
    function: str,
    params: tuple[str, ...],
    named: str | None,
    key: str | None,
    caller: str | None,
) -> None:
    """Send FUNCTION to actor ID one way: it runs, and nobody says how it ends, nor whether there is such an actor.

    The parameters are those of `call`.
    """
    given = parameters(params, named)
    invocation.doing = f"send {function} to actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater(caller) as theater:
            await theater.actor(actor_id).send(function, given, key=key)
        invocation.out.document({"sent": True, "id": actor_id, "function": function}, lambda: "sent")

    invocation.run(main)
