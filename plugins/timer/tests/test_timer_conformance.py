"""What is asked of every capability, of `timer`."""

from theater_bus.testing import Example, conformance
from theater_bus_timer import Timer

test_conformance = conformance(
    Timer,
    examples=[
        Example("set-interval", "every", 600_000),
        Example("set-timeout", "once", 600_000),
        Example("set-timeout", "gone", 600_000),
        Example("clear-timeout", "gone"),
    ],
    refused=[Example("set-interval", "fast", 1)],
    read_elsewhere=["missed"],  # when an interval is late
)
