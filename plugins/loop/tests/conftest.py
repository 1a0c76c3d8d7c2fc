"""The fixtures that theater_bus offers to the authors of plugins, and waiting for what a test cannot await."""

from __future__ import annotations

from theater_bus.testing.fixtures import eventually, start_harness, start_host, theater_server

__all__ = ["eventually", "start_harness", "start_host", "theater_server"]
