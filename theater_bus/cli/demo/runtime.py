"""The capability `runtime`, as far as the demo's guests need it, for installations without the plugin of that name."""

from __future__ import annotations

from collections.abc import Iterable

from theater_bus.capability import Capability, hookimpl

__all__ = ["GuestLog"]

requires_api = 1


class GuestLog(Capability):
    """`theater:simple/runtime`, its `log` alone."""

    name = "runtime"
    pact = """
        exports { theater:simple/runtime.log: func(msg: string) }
    """

    def log(self, msg: str) -> None:
        """A log record of the actor, with the operation's trace."""
        self.context.guest_log(msg)


@hookimpl
def theater_capabilities() -> Iterable[type[Capability]]:
    """Offer `runtime`."""
    return [GuestLog]
