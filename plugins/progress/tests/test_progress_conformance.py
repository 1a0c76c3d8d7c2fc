"""What is asked of every capability, of `progress`."""

from theater_bus.testing import Example, conformance
from theater_bus_progress import Progress

test_conformance = conformance(
    Progress,
    examples=[Example("emit", {"done": 1})],
    refused=[
        Example("emit", "part", settings={"parts": 0}),
        Example("emit", "part", settings={"part_bytes": 1}),
    ],
)
