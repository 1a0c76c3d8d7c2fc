"""`theater-bus ps`: the actors of a namespace, or its hosts."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import facts

__all__ = ["command"]


@define("ps", short_help="List the actors and where they run.")
@click.option("--host", metavar="HOST", help="Only the actors of this host.")
@click.option("--hosts", "only_hosts", is_flag=True, help="List the hosts instead.")
def command(invocation: Invocation, host: str | None, only_hosts: bool) -> None:
    """List the actors of the namespace, and the hosts that run them."""
    invocation.doing = f"list what runs in namespace {invocation.namespace!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            hosts = await theater.hosts()
            actors = [] if only_hosts else await theater.actors(host=host, timeout=invocation.timeout_s)
        none = f"no host answers in namespace {invocation.namespace!r}; start one with `theater-bus serve`"
        if only_hosts:
            rows = [(one.id, one.version, str(one.actors)) for one in hosts]
            invocation.out.table({"hosts": facts(hosts)}, ("HOST", "VERSION", "ACTORS"), rows, none)
            return
        empty = f"no actors in namespace {invocation.namespace!r}" if hosts else none
        rows_ = [(one.id, one.name, one.phase, one.host) for one in actors]
        invocation.out.table(
            {"actors": facts(actors), "hosts": facts(hosts)}, ("ID", "NAME", "PHASE", "HOST"), rows_, empty
        )

    invocation.run(main)
