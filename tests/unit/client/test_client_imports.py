"""The public names are there, and asking for none of them costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import theater_bus
import theater_bus.client

SHOW = "import sys, json, theater_bus; print(json.dumps(sorted(sys.modules)))"


def test_importing_the_package_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    heavy = {"nats", "wasmtime", "opentelemetry", "pydantic", "pluggy", "msgpack", "asyncio"}
    assert not heavy & set(json.loads(done.stdout))


@pytest.mark.parametrize("module", [theater_bus, theater_bus.client])
def test_every_public_name_can_be_imported_and_no_other(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        module.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_dir_lists_the_public_names() -> None:
    assert set(theater_bus.__all__) <= set(dir(theater_bus))
