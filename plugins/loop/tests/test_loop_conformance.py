"""What is asked of every capability, of `loop`."""

from theater_bus.capability import Capability
from theater_bus.testing import Example, conformance
from theater_bus_loop import Loop


class Handlers(Capability):
    """An actor that hands its value on."""

    name = "handlers"
    pact = """
@package: string = "theater:simple"

interface loop-client {
    exports {
        loop: func(state: u64, value: list<u8>) -> result<tuple<u64, list<u8>>, string>
    }
}
"""

    def loop(self, state: int, value: bytes) -> tuple[int, bytes]:
        return state + 1, value


test_conformance = conformance(
    Loop,
    settings={"rate": 20},
    examples=[Example("start-loop", b"value")],
    refused=[Example("start-loop", b"value", settings={"value_bytes": 4})],
    handlers=Handlers,
    spawn={"state": 0},
)
