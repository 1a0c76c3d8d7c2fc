"""`theater-bus metrics`: an actor's counts and times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import facts, shown_bytes, shown_ns

if TYPE_CHECKING:
    from theater_bus.client import ActorMetrics

__all__ = ["command"]


@define("metrics", short_help="Print an actor's counts and times.")
@click.argument("actor_id", metavar="ID")
def command(invocation: Invocation, actor_id: str) -> None:
    """Print what actor ID has done and what it takes, since it started on its host."""
    invocation.doing = f"read the metrics of actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            metrics = await theater.actor(actor_id).get_metrics(timeout=invocation.timeout_s)
        invocation.out.pairs(facts(metrics), _rows(metrics))

    invocation.run(main)


def _rows(metrics: ActorMetrics) -> list[tuple[str, str]]:
    done, taken = metrics.operation_metrics, metrics.resource_metrics
    count = done.total_operations
    by_code = ", ".join(f"{code} {number}" for code, number in sorted(done.errors_by_code.items()))
    return [
        ("operations", f"{count} done, {done.failed_operations} failed, {done.refused_operations} refused"),
        ("errors", by_code or "none"),
        ("time in the guest", _spread(done.total_processing_time_ns, count, done.max_processing_time_ns)),
        (
            "time with the wait",
            _spread(done.total_processing_time_with_wait_ns, count, done.max_processing_time_with_wait_ns),
        ),
        ("memory", f"{shown_bytes(taken.memory_usage_bytes)}, at most {shown_bytes(taken.peak_memory_usage_bytes)}"),
        ("queue", f"{taken.operation_queue_size} operations, at most {taken.peak_queue_size}"),
        ("started", _moment(metrics.start_time_ns)),
        ("last operation", "none" if metrics.last_update_ns is None else _moment(metrics.last_update_ns)),
        ("up for", f"{metrics.uptime_ms / 1000:.1f} s"),
    ]


def _spread(total_ns: int, count: int, most_ns: int) -> str:
    if not count:
        return "none"
    return f"{shown_ns(total_ns)} in all, {shown_ns(total_ns // count)} on average, {shown_ns(most_ns)} at most"


def _moment(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
