"""What is asked of every capability, of `config`."""

from theater_bus.testing import Example, conformance
from theater_bus_config import Config

test_conformance = conformance(
    Config,
    settings={"values": ["region"], "secrets": ["api-key@example.com"], "reveal": True},
    examples=[Example("get", "region"), Example("secret", "api-key")],
    refused=[Example("get", "region"), Example("secret", "api-key")],
    read_elsewhere=["values"],  # the host reads it, as it reads `secrets`
    host={"config": {"values": {"region": "eu-west-1"}, "secrets": {"api-key": {"env": "PATH"}}}},
)
