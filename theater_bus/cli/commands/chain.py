"""`theater-bus chain`: what was recorded, as lines, live, or verified."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from theater_bus.client import ActorHandle
    from theater_bus.core.chain.events import Event
    from theater_bus.core.chain.segments import Segment, Spilled
    from theater_bus.core.chain.verify import Verification

__all__ = ["command", "verdict_text", "verified"]


@define("chain", short_help="Print, follow or verify an actor's event chain.")
@click.argument("actor_id", metavar="ID")
@click.option("--from", "from_seq", type=click.IntRange(0), metavar="N", default=0, help="Begin with event N.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new events until the actor ends.")
@click.option("--verify", is_flag=True, help="Verify every hash and the order of events instead; exit 1 unless intact.")
def command(invocation: Invocation, actor_id: str, from_seq: int, follow: bool, verify: bool) -> int:
    """Print the event chain of actor ID, a line per event: number, UTC time, kind, what, hash."""
    if verify and follow:
        raise UsageProblem("--verify and --follow exclude one another", "use one of them")
    invocation.doing = f"{'verify' if verify else 'read'} the chain of actor {actor_id!r}"

    async def main() -> int:
        async with invocation.theater() as theater:
            actor = theater.actor(actor_id)
            if verify:
                return await _verify(invocation, actor, from_seq)
            view = actor.get_chain(from_seq)
            await _print(invocation, view.follow() if follow else aiter(view))
        return ExitCode.OK

    return invocation.run(main)


async def _print(invocation: Invocation, events: AsyncIterator[Event]) -> None:
    from theater_bus.cli.event_line import event_document, event_line

    out = invocation.out
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            out.line(event_document(event), lambda event=event: event_line(event, out.columns))  # type: ignore[misc]


async def _verify(invocation: Invocation, actor: ActorHandle, from_seq: int) -> int:
    from theater_bus.core.chain.verify import Verdict

    report = await verified(actor.get_chain(from_seq).segments())
    invocation.out.document({"id": actor.id, **report.as_plain()}, lambda: verdict_text(actor.id, report))
    return ExitCode.OK if report.verdict is Verdict.INTACT else ExitCode.FAILED


async def verified(segments: AsyncIterator[Segment | Spilled]) -> Verification:
    """The report on a chain that is read page by page; nothing of it is kept."""
    from theater_bus.core.chain.verify import ChainVerifier
    from theater_bus.errors import ChainTampered

    verifier = ChainVerifier()
    try:
        async with aclosing(segments):  # type: ignore[type-var]
            async for segment in segments:
                if not verifier.segment(segment):
                    break
    except ChainTampered as error:
        verifier.fail(error)
    return verifier.report()


def verdict_text(actor_id: str, report: Verification) -> str:
    """The verdict in one or two lines."""
    first = report.first_seq or 0
    head = "" if report.head is None else f", head {report.head.hex()[:16]}…"
    text = f"{report.verdict.value}: {report.events} events of actor {actor_id!r} from number {first}{head}"
    if report.problem is not None:
        where = "" if report.problem.seq is None else f"event {report.problem.seq}: "
        return f"{text}\n  {where}{report.problem.reason}"
    if report.missing:
        return f"{text}\n  {len(report.missing)} objects are missing, the first is {report.missing[0].hex()}"
    if not report.anchored:
        return f"{text}\n  the beginning is not part of it; compare the head with one that you keep"
    return text
