"""`theater-bus status`: what an actor is and does, and what can be called."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import facts

__all__ = ["command"]


@define("status", short_help="Say what an actor is and does.")
@click.argument("actor_id", metavar="ID")
def command(invocation: Invocation, actor_id: str) -> None:
    """Say what actor ID is and does just now, and which functions it offers. It is answered while the actor works."""
    invocation.doing = f"ask for the status of actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            actor = theater.actor(actor_id)
            status = await actor.get_status(timeout=invocation.timeout_s)
            exports = await actor.inspect.exports(timeout=invocation.timeout_s)
        rows = [
            ("id", status.id),
            ("name", status.name),
            ("phase", status.phase + (f" ({status.reason})" if status.reason else "")),
            ("host", status.host),
            ("durability", status.durability),
            ("package", status.package.hex()),
            ("incarnation", status.incarnation.hex()),
            ("chain", f"{status.as_of.sequence + 1} events, head {status.as_of.head.hex()[:16]}…"),
        ]
        running = status.running
        rows.append(("running", "nothing" if running is None else f"{running.function} for {running.since_ms} ms"))
        rows.append(("queued", str(status.queued)))
        if status.parent is not None:
            rows.append(("child of", status.parent))
        if status.children:
            rows.append(("children", str(status.children)))
        if status.approvals:
            rows.append(("waits for approval", "\n".join(f"{one.id}  {one.what}" for one in status.approvals)))
        rows.append(("functions", "\n".join(map(str, exports.functions)) or "none"))
        invocation.out.pairs(facts(status) | facts(exports), rows)

    invocation.run(main)
