"""`theater-bus demo`: everything at work in one minute."""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which
from time import perf_counter

from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]

_OF_NO_USE = frozenset({"server", "namespace", "creds", "user", "password", "inbox_prefix", "timeout"})


@define("demo", short_help="See everything at work in one minute, on this machine alone.")
def command(invocation: Invocation) -> None:
    """See everything at work: a NATS server, a host, three guests, calls, containment, the chain and a trace.

    It needs nothing, changes nothing, and ends by itself in less than a minute.
    """
    from theater_bus.cli.demo.narrator import Narrator
    from theater_bus.cli.demo.scenes import SCENES
    from theater_bus.cli.demo.stage import GUESTS, set_stage

    invocation.doing = "run the demo"
    if idle := sorted(invocation.typed & _OF_NO_USE):
        raise UsageProblem(
            f"--{idle[0].replace('_', '-')} has no effect: the demo has a server of its own", "leave it out"
        )
    tell = Narrator(invocation.out)

    async def main() -> None:
        started = perf_counter()
        tell.line("theater_bus: WebAssembly actors on NATS. What you see happens now, on this machine.")
        async with set_stage() as stage:
            for scene in SCENES:
                await scene(stage, tell)
        took_s = perf_counter() - started
        tell.fact("end", took_s=round(took_s, 2))
        tell.scene("Your turn")
        tell.line(f"That took {took_s:.1f} s; server, host and files are gone again. To keep one running:")
        tell.line()
        if which("theater-bus") is None:
            tell.line(f"export PATH={Path(sys.executable).parent}:$PATH")
        tell.line("theater-bus serve --embedded                    # in one terminal")
        tell.line(f"theater-bus spawn {GUESTS / 'counter.toml'} --id mine")
        tell.line(
            "theater-bus call mine increment 5               # also: nats req theater.default.ops.mine.increment '[5]'"
        )
        tell.line("theater-bus chain mine --follow")
        tell.line("theater-bus --help")

    invocation.run(main)
