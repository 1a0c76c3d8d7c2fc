"""What is asked of every capability, of `messages`."""

from typing import Any

from theater_bus.capability import Capability
from theater_bus.testing import Example, conformance
from theater_bus_messages import Messages

HANDLERS = """
interface message-server-client {
    @package: string = "theater:simple"
    exports {
        handle-send: func(state: u64, msg: list<u8>) -> result<tuple<u64>, string>
        handle-request: func(state: u64, request-id: string, msg: list<u8>)
            -> result<tuple<u64, option<list<u8>>>, string>
    }
}
"""


class Handlers(Capability):
    """The actor's own code."""

    name = "handlers"
    pact = HANDLERS

    def handle_send(self, state: int, msg: bytes) -> Any:
        return [state]

    def handle_request(self, state: int, request_id: str, msg: bytes) -> Any:
        return [state, msg]


test_conformance = conformance(
    Messages,
    settings={"to": ["*"]},
    handlers=Handlers,
    spawn={"state": 0},
    examples=[
        Example("register"),
        Example("send", "nobody", b"hello"),
        Example("request", "nobody", b"hello"),
        Example("open-channel", "nobody", b"hello"),
    ],
    refused=[Example("send", "somebody", b"hello"), Example("request", "somebody", b"hello")],
    read_elsewhere=["timeout_ms", "outstanding", "channels", "check_ms"],  # what others do, and when
)
