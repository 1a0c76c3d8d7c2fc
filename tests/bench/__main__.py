"""`make bench`: everything, as ratios to raw nats-py in the same run. `ARGS="--quick"` for a first look."""

from __future__ import annotations

import argparse
import asyncio

from rich.console import Console

from tests.bench import bridges, calls, children, components, engine, idle, languages, large, rpc, tcp, timers

PARTS = ["engine", "rpc", "calls", "idle", "children", "timers", "tcp", "components", "languages", "large", "bridges"]


async def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer calls, fewer actors")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"{', '.join(PARTS)}; default all")
    parser.add_argument(
        "--hosts", nargs="+", choices=rpc.KINDS, default=rpc.KINDS, help="the hosts that rpc measures; default all"
    )
    options = parser.parse_args()
    parts = options.parts or PARTS
    console = Console(width=110)
    if "engine" in parts:
        await engine.run(console)
    if "rpc" in parts:
        await rpc.run(console, *((3, 1_920) if options.quick else (9, 6_400)), options.hosts)
    if "calls" in parts:
        await calls.run(console, *((3, 1_000) if options.quick else (9, 4_000)))
    if "components" in parts:
        await components.run(console, *((3, 100, 100) if options.quick else (9, 300, 1_000)))
    if "languages" in parts:
        await languages.run(console, options.quick)
    if "large" in parts:
        await large.run(console, (1,) if options.quick else (1, 8), rounds=5)
    if "bridges" in parts:
        await bridges.run(console, options.quick)
    if "idle" in parts:
        await idle.run(console, actors=1_000 if options.quick else 10_000)
    if "tcp" in parts:
        await tcp.run(console, connections=1_000, rounds=3 if options.quick else 9)
    if "timers" in parts:
        await timers.run(console, 1_000 if options.quick else 10_000)
    if "children" in parts:
        await children.run(console, 100 if options.quick else 1_000)


asyncio.run(main())
