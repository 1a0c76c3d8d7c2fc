"""The guest that the benchmarks call, built from the text beside this file."""

from __future__ import annotations

from pathlib import Path

from theater_bus.core.manifest import Manifest, parse_manifest
from theater_bus.engine.building import build

HERE = Path(__file__).parent


def echo_wasm() -> bytes:
    """The module, with its metadata."""
    return build(HERE / "echo.wat", HERE / "echo.pact")


def echo_manifest(publish: bool = False) -> Manifest:
    """A `memory` actor that starts at 0; its chain is recorded, and published only when asked."""
    return parse_manifest(f'name = "echo"\ninitial_state = 0\n[chain]\npublish = {str(publish).lower()}\n', "echo")
