"""What is asked of every capability, of `supervisor`."""

from __future__ import annotations

from typing import Any

from theater_bus.capability import Capability
from theater_bus.testing import Example, conformance, guest
from theater_bus_supervisor import Supervisor

WASM = guest("counter").wasm
KID = 'name = "kid"\nid = "kid"\ninitial_state = 1\n'
OTHER = 'name = "other"\nid = "other"\ninitial_state = 1\n'
NAMELESS = 'name = "nameless"\ninitial_state = 1\n'


class Handlers(Capability):
    """An actor that hears of its children and goes on."""

    name = "handlers"
    pact = """
@package: string = "theater:simple"

interface supervisor-handlers {
    exports {
        handle-child-error: func(state: u64, child-id: string, error: value) -> result<tuple<u64>, string>
        handle-child-exit: func(state: u64, child-id: string, data: option<list<u8>>) -> result<tuple<u64>, string>
        handle-child-external-stop: func(state: u64, child-id: string) -> result<tuple<u64>, string>
        handle-child-event: func(state: u64, child-id: string, type: string, data: list<u8>)
            -> result<tuple<u64>, string>
    }
}
"""

    def handle_child_error(self, state: int, child_id: str, error: Any) -> tuple[int]:
        return (state + 1,)

    def handle_child_exit(self, state: int, child_id: str, data: bytes | None) -> tuple[int]:
        return (state + 1,)

    def handle_child_external_stop(self, state: int, child_id: str) -> tuple[int]:
        return (state + 1,)

    def handle_child_event(self, state: int, child_id: str, type: str, data: bytes) -> tuple[int]:
        return (state + 1,)


test_conformance = conformance(
    Supervisor,
    settings={"ids": ["kid"]},
    handlers=Handlers,
    spawn={"state": 0},
    examples=[
        Example("spawn", KID, None, WASM),
        Example("list-children"),
        Example("get-child-state", "kid"),
        Example("get-child-events", "kid"),
        Example("subscribe-to-child", "kid"),
        Example("unsubscribe-from-child", "kid"),
        Example("restart-child", "kid"),
        Example("stop-child", "kid"),
        Example("resume", NAMELESS, None, WASM),
    ],
    refused=[
        Example("spawn", OTHER, None, WASM),
        Example("spawn", 'name = "far"\npackage = "far://away"', None, None),
        Example("spawn", NAMELESS, None, WASM, settings={"descendants": 0}),
        Example("spawn", NAMELESS, None, WASM, settings={"package_bytes": 10}),
    ],
    waiting=Example("spawn-and-wait", NAMELESS, None, WASM, None),
    # How it restarts, which begins when a child has ended.
    read_elsewhere=["strategy", "restart"],
)
