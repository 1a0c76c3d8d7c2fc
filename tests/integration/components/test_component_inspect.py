"""`theater-bus inspect` explains components of every language: what they export, what they need, that they can run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from theater_bus.cli.main import run

SHOWN = {
    "counter-wat": ("increment", "theater:simple/actor", "theater:simple/runtime"),
    "counter-go": ("increment", "theater:simple/actor", "theater:simple/runtime", "wasi:clocks"),
    "probe-javascript": ("echo-bytes", "test:component/values", "theater:simple/runtime", "wasi:io"),
    "probe-python": ("echo-bytes", "test:component/values", "theater:simple/runtime", "wasi:random"),
    "web-hostile": ("wasi:http/incoming-handler", "wasi:http/types"),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SHOWN)
def test_a_component_is_explained(name: str, component_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(component_path(name)), "-o", "json"]) == 0
    shown = json.dumps(json.loads(capsys.readouterr().out))
    for part in ("component", *SHOWN[name]):
        assert part in shown
