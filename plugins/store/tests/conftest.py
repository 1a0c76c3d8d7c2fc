"""The fixtures that theater_bus offers to the authors of plugins."""

from theater_bus.testing.fixtures import start_harness, start_host, theater_server

__all__ = ["start_harness", "start_host", "theater_server"]
