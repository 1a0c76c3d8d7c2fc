"""The fixtures that theater_bus offers to the authors of plugins, and an operator's file with a planted secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from theater_bus.testing.fixtures import start_harness, start_host, theater_server

__all__ = ["start_harness", "start_host", "theater_server"]

PLANTED = "pl4nted-s3cret-value"


@pytest.fixture
def planted() -> str:
    """The value of the secret `api-key`."""
    return PLANTED


@pytest.fixture
def operator(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`operator(hosts=["a.com"], reveal=True)`: what `HostSettings.config` holds, with the secret in a file."""
    (tmp_path / "api-key").write_text(f"{PLANTED}\n")

    def tables(**secret: Any) -> dict[str, Any]:
        values = {"region": "eu-west-1", "limit": 20, "ratio": 0.5, "fast": True, "ü": "any name"}
        return {"values": values, "secrets": {"api-key": {"file": str(tmp_path / "api-key"), **secret}}}

    return tables
