"""What is asked of every capability, of `random`."""

from theater_bus.testing import Example, conformance
from theater_bus_random import Random

test_conformance = conformance(
    Random,
    settings={"seed": "any"},
    examples=[Example("get-bytes", 100)],
    refused=[Example("get-bytes", 100_000), Example("insecure-bytes", 10, settings={"bytes_max": 9})],
)
