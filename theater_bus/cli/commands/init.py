"""`theater-bus init`: make what hosts of a namespace use and may not create."""

from __future__ import annotations

from difflib import get_close_matches

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("init", short_help="Prepare a namespace: what its hosts may not make themselves.")
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="NAME",
    help="Also the buckets that a capability keeps its own things in, such as store; may be repeated.",
)
def command(invocation: Invocation, capabilities: tuple[str, ...]) -> None:
    """Make the object store through which packages and large states travel. Running it again is fine.

    Only needed where hosts and callers may not create it themselves: connect as a user who may (infra/nats/init.conf).
    """
    invocation.doing = f"prepare namespace {invocation.namespace!r}"
    _warn_of_unknown(capabilities)

    async def main() -> None:
        from theater_bus.bus import Connection
        from theater_bus.bus.bucket import ObjectBucket
        from theater_bus.bus.key_value import KeyValueBucket
        from theater_bus.bus.objects import ObjectStore
        from theater_bus.core.wire.subjects import Subjects

        subjects = Subjects(invocation.namespace)
        made = []
        async with await Connection.open(invocation.bus()) as connection:
            store = ObjectStore(connection, subjects.objects_bucket)
            made.append((f"object store {store.bucket}", await store.create()))
            for name in map(subjects.capability_bucket, capabilities):
                objects = ObjectBucket(connection, name, "theater_bus: a capability's own", "connect as a user who may")
                made.append((f"object store {name}", await objects.create()))
                made.append((f"key-value bucket {name}", await KeyValueBucket(connection, name).open(create=True)))
        invocation.out.document(
            [{"what": what, "made": new} for what, new in made],
            lambda: "\n".join(f"{what} {'made' if new else 'is there'}" for what, new in made),
        )

    invocation.run(main)


def _warn_of_unknown(capabilities: tuple[str, ...]) -> None:
    """Say which names no plugin here has: a slip, or a plugin that only the hosts have."""
    if not capabilities:
        return
    from theater_bus.plugins import PluginRegistry

    known = PluginRegistry.discover().capabilities
    for name in capabilities:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "fine if the hosts have such a plugin"
            click.echo(f"warning: no plugin installed here offers a capability {name!r}; {hint}", err=True)
