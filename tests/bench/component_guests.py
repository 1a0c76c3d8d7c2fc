"""The components that the benchmarks run: those of tests/guests/components, and their manifests."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from theater_bus.core.manifest import Manifest, parse_manifest
from theater_bus.host.spawning import NO_STATE

FOLDER = Path(__file__).resolve().parents[1] / "guests" / "components"
MANIFEST = """
name = "{name}"
isolation = "{isolation}"
[limits]
memory_bytes = 268_435_456
[capabilities.runtime]
[capabilities.wasi]
random = true
"""


def component(name: str) -> bytes:
    """The component of that name, built where it is not there yet."""
    return _builder().component(name).read_bytes()


def component_manifest(name: str) -> Manifest:
    """A `memory` actor with room for every language."""
    # The engine of the web server in JavaScript serves one request.
    isolation = "operation" if name == "web-javascript" else "instance"
    return parse_manifest(MANIFEST.format(name=name, isolation=isolation), name)


def compiled_folder() -> Path:
    """Where hosts keep what they compiled, from one run to the next."""
    folder: Path = _builder().CACHE / "compiled"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def component_state(name: str) -> Any:
    """What a counter begins with; web servers have no state."""
    return NO_STATE if name.startswith("web") else {"count": 0, "last": None}


def _builder() -> ModuleType:
    name = "component_guests"
    if name not in sys.modules:
        spec = spec_from_file_location(name, FOLDER / "build.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
