"""`theater-bus init`: make what hosts of a namespace use and may not create."""

from __future__ import annotations

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("init", short_help="Prepare a namespace: its object store.")
def command(invocation: Invocation) -> None:
    """Make the object store through which packages and large states travel. Running it again is fine.

    Only needed where hosts and callers may not create it themselves: connect as a user who may (infra/nats/init.conf).
    """
    invocation.doing = f"prepare namespace {invocation.namespace!r}"

    async def main() -> None:
        from theater_bus.bus import Connection
        from theater_bus.bus.objects import ObjectStore
        from theater_bus.core.wire.subjects import Subjects

        bucket = Subjects(invocation.namespace).objects_bucket
        async with await Connection.open(invocation.bus()) as connection:
            made = await ObjectStore(connection, bucket).create()
        said = "made" if made else "is there"
        invocation.out.document({"bucket": bucket, "made": made}, lambda: f"{bucket} {said}")

    invocation.run(main)
