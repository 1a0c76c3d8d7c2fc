"""For the tests of plugins and actors: a harness without a guest, whole hosts, and guests.

`capability_harness` calls a capability's functions directly; `running_host` gives a server, a host with the plugins
under test and a client; `relay_guest` and `relay_component` make guests, one of either kind, that pass every call on to
a capability; `guest` finds guests by name and builds them; `conformance` is a test of all that is asked of every
capability. As pytest fixtures: `pytest_plugins = ["theater_bus.testing.fixtures"]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theater_bus.testing.clock import FakeClock
    from theater_bus.testing.component_relay import relay_component
    from theater_bus.testing.components import build_component
    from theater_bus.testing.guests import Guest, build_guest, build_wat, guest
    from theater_bus.testing.harness import CapabilityHarness, HarnessContext, capability_harness
    from theater_bus.testing.relay import relay_guest
    from theater_bus.testing.running import RunningHost, offering, running_host
    from theater_bus.testing.suite import Example, conformance

__all__ = [
    "CapabilityHarness",
    "Example",
    "FakeClock",
    "Guest",
    "HarnessContext",
    "RunningHost",
    "build_component",
    "build_guest",
    "build_wat",
    "capability_harness",
    "conformance",
    "guest",
    "offering",
    "relay_component",
    "relay_guest",
    "running_host",
]

_HOME = {
    "CapabilityHarness": "harness",
    "Example": "suite",
    "FakeClock": "clock",
    "Guest": "guests",
    "HarnessContext": "harness",
    "RunningHost": "running",
    "build_component": "components",
    "build_guest": "guests",
    "build_wat": "guests",
    "capability_harness": "harness",
    "conformance": "suite",
    "guest": "guests",
    "offering": "running",
    "relay_component": "component_relay",
    "relay_guest": "relay",
    "running_host": "running",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
