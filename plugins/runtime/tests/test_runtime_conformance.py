"""What is asked of every capability, of `runtime`."""

from theater_bus.testing import conformance
from theater_bus_runtime import Runtime

test_conformance = conformance(Runtime)
