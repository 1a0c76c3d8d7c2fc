"""`theater-bus approve`: what waits for a person, and the decision about it."""

from __future__ import annotations

import click

from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import facts

__all__ = ["command"]


@define("approve", short_help="Decide about a call that waits for a person.")
@click.argument("actor_id", metavar="ID")
@click.argument("approval", metavar="[APPROVAL]", required=False)
@click.option("--refuse", is_flag=True, help="Do not let it go on.")
@click.option("--note", metavar="TEXT", default="", help="For the log, and for the actor when it is refused.")
def command(invocation: Invocation, actor_id: str, approval: str | None, refuse: bool, note: str) -> None:
    """Let the host call APPROVAL of actor ID go on, or refuse it; without APPROVAL print what waits."""
    if approval is None and (refuse or note):
        raise UsageProblem("--refuse and --note are about one call", "name it: `theater-bus approve ID` lists them")
    invocation.doing = f"decide about a call of actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            actor = theater.actor(actor_id)
            if approval is None:
                waiting = (await actor.get_status(timeout=invocation.timeout_s)).approvals
                lines = [f"{one.id}  {one.function}  {one.since_ms // 1000} s  {one.what}" for one in waiting]
                invocation.out.document(
                    [facts(one) for one in waiting], lambda: "\n".join(lines) or "nothing waits for approval"
                )
                return
            found = await actor.approve(approval, refuse=refuse, note=note, timeout=invocation.timeout_s)
        if found == "none":
            raise CommandFailed(
                f"nothing waits under {approval!r}; its operation may have ended",
                f"`theater-bus approve {actor_id}` lists what waits",
                ExitCode.NOT_FOUND,
            )
        invocation.out.document({"id": actor_id, "approval": approval, "decision": found}, lambda: found)

    invocation.run(main)
