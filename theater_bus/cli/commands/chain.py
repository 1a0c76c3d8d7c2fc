"""`theater-bus chain`: what was recorded, as lines, live, verified, or as one file."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.invocation import Invocation
from theater_bus.core.wire.identity import is_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from theater_bus.client import ActorHandle, Exported
    from theater_bus.core.chain.archive import Archive
    from theater_bus.core.chain.events import Event
    from theater_bus.core.chain.segments import Segment, Spilled
    from theater_bus.core.chain.verify import Verification

__all__ = ["command", "verdict_text", "verified"]


@define("chain", short_help="Print, follow, verify or export an actor's event chain.")
@click.argument("actor_id", metavar="ID|FILE")
@click.option(
    "--from", "from_seq", type=click.IntRange(0, 2**53 - 1), metavar="N", default=0, help="Begin with event N."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new events until the actor ends.")
@click.option("--verify", is_flag=True, help="Verify every hash and the order of events instead; exit 1 unless intact.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the chain, with all that it names, into FILE instead.",
)
@click.option(
    "--package",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="WASM",
    help="The module, for --export of an actor whose host does not keep it.",
)
def command(
    invocation: Invocation,
    actor_id: str,
    from_seq: int,
    follow: bool,
    verify: bool,
    export: Path | None,
    package: Path | None,
) -> int:
    """Print the event chain of actor ID, a line per event: number, UTC time, kind, what, hash.

    An exported FILE (a path with a dot or a slash) is printed and verified as well, without a connection.
    """
    if sum((verify, follow, export is not None)) > 1:
        raise UsageProblem("--verify, --follow and --export exclude one another", "use one of them")
    if package is not None and export is None:
        raise UsageProblem("--package goes with --export", "leave it out")
    file = Path(actor_id)
    if not is_name(actor_id) and file.is_file():
        if follow or export is not None:
            raise UsageProblem("a file is printed or verified", "leave --follow and --export out")
        return _from_file(invocation, file, from_seq, verify)
    if not is_name(actor_id) and any(mark in actor_id for mark in "./"):
        invocation.doing = f"read {actor_id}"
        raise FileNotFoundError(2, "there is no such file, and no actor has such an id", actor_id)
    if export is not None:
        return _export(invocation, actor_id, from_seq, export, package)
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


def _export(invocation: Invocation, actor_id: str, from_seq: int, path: Path, package: Path | None) -> int:
    invocation.doing = f"export the chain of actor {actor_id!r}"

    async def main() -> int:
        module = None if package is None else package.read_bytes()  # noqa: ASYNC240  nothing else runs here
        async with invocation.theater() as theater:
            view = theater.actor(actor_id).get_chain(from_seq)
            try:
                done = await view.export(path, package=module)
            except OSError as error:
                raise CommandFailed(
                    f"{path} cannot be written: {error.strerror}", "name a file in a folder that you may write to"
                ) from error
        facts = {
            "id": actor_id,
            "file": str(path),
            "events": done.events,
            "objects": done.objects,
            "bytes": done.size_bytes,
            "missing": [digest.hex() for digest in done.missing],
        }
        invocation.out.document(facts, lambda: _exported_text(done))
        return ExitCode.OK

    return invocation.run(main)


def _exported_text(done: Exported) -> str:
    text = f"exported: {done.events} events and {done.objects} objects, {done.size_bytes:,} bytes, to {done.path}"
    if not done.missing:
        return text
    return f"{text}\n  {_missing(done.missing)}"


def _missing(digests: Sequence[bytes]) -> str:
    return f"objects that are missing: {len(digests)}, the first is {digests[0].hex()}"


def _from_file(invocation: Invocation, path: Path, from_seq: int, verify: bool) -> int:
    from theater_bus.core.chain.archive import read_archive
    from theater_bus.errors import ChainTampered

    invocation.doing = f"read {path}"
    try:
        archive = read_archive(path.read_bytes())
    except ChainTampered as error:
        raise CommandFailed(str(error), f"`theater-bus chain ID --export {path}` writes such a file") from error

    async def segments() -> AsyncIterator[Segment | Spilled]:
        for segment in archive.segments:
            yield archive.whole(segment)

    async def main() -> int:
        if verify:
            report = await verified(segments(), archive.objects.get)
            return _say(invocation, archive.actor, _with_absent(report, archive))
        await _print(invocation, _events(segments(), from_seq))
        return ExitCode.OK

    return invocation.run(main)


def _with_absent(report: Verification, archive: Archive) -> Verification:
    """A file is to be replayed from itself alone, so it lacks something where any object that is named is not in it."""
    from theater_bus.core.chain.verify import Verdict

    if report.problem is not None or not (absent := archive.absent()):
        return report
    return replace(report, verdict=Verdict.INCOMPLETE, missing=tuple(dict.fromkeys((*report.missing, *absent))))


async def _events(segments: AsyncIterator[Segment | Spilled], from_seq: int) -> AsyncIterator[Event]:
    from theater_bus.core.chain.events import decode_event

    async for segment in segments:
        for data in getattr(segment, "events", ()):
            event = decode_event(data)
            if event.seq >= from_seq:
                yield event


async def _print(invocation: Invocation, events: AsyncIterator[Event]) -> None:
    from theater_bus.cli.event_line import event_document, event_line

    out = invocation.out
    async with aclosing(events):  # type: ignore[type-var]
        async for event in events:
            out.line(event_document(event), lambda event=event: event_line(event, out.columns))  # type: ignore[misc]


async def _verify(invocation: Invocation, actor: ActorHandle, from_seq: int) -> int:
    return _say(invocation, actor.id, await verified(actor.get_chain(from_seq).segments()))


def _say(invocation: Invocation, actor_id: str, report: Verification) -> int:
    from theater_bus.core.chain.verify import Verdict

    invocation.out.document({"id": actor_id, **report.as_plain()}, lambda: verdict_text(actor_id, report))
    return ExitCode.OK if report.verdict is Verdict.INTACT else ExitCode.FAILED


async def verified(
    segments: AsyncIterator[Segment | Spilled], find: Callable[[bytes], bytes | None] | None = None
) -> Verification:
    """The report on a chain that is read page by page; nothing of it is kept. `find` has what it names by digest."""
    from theater_bus.core.chain.verify import ChainVerifier
    from theater_bus.errors import ChainTampered

    verifier = ChainVerifier(find)
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
        return f"{text}\n  {_missing(report.missing)}"
    if not report.anchored:
        return f"{text}\n  the beginning is not part of it; compare the head with one that you keep"
    return text
