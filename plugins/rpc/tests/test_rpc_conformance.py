"""What is asked of every capability, of `rpc`."""

from theater_bus.testing import Example, conformance
from theater_bus_rpc import Rpc

test_conformance = conformance(
    Rpc,
    settings={"calls": ["*.>"], "imports": ["my:math/calculator"]},
    examples=[
        Example("call", "nobody", "anything", None, None),
        Example("implements", "nobody", "my:math/calculator"),
        Example("exports", "nobody"),
    ],
    refused=[
        Example("call", "nobody", "anything", None, None),
        Example("bind", "my:math/calculator", "nobody"),
    ],
    read_elsewhere=["timeout_ms"],  # when a call is waited for
)
