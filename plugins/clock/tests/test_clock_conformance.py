"""What is asked of every capability, of `clock`."""

from theater_bus.testing import Example, conformance
from theater_bus_clock import Clock

SECOND = 1_000_000_000

test_conformance = conformance(
    Clock,
    settings={"sleep_max_ms": 60_000},
    examples=[Example("sleep", 1_000)],
    refused=[Example("sleep", SECOND)],
    waiting=Example("sleep", 60 * SECOND),
)
