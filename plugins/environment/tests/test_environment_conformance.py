"""What is asked of every capability, of `environment`."""

from theater_bus.testing import Example, conformance
from theater_bus_environment import Environment

test_conformance = conformance(
    Environment,
    settings={"vars": ["PATH"], "prefixes": ["PYTEST_"], "list": True},
    examples=[Example("get-var", "PATH"), Example("exists", "PATH")],
    refused=[Example("get-var", "PATH"), Example("list-vars"), Example("exists", "PATH")],
)
