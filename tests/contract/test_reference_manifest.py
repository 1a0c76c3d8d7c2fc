"""The published reference of the manifest is what the code reads."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from theater_bus.core.manifest import Given, Variables, parse_manifest, resolve_manifest

ROOT = Path(__file__).resolve().parents[2]


def generator() -> ModuleType:
    spec = spec_from_file_location("docs_generators_manifest", ROOT / "docs" / "generators" / "manifest.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_the_rendered_one() -> None:
    """Run `python docs/generators/manifest.py` after changing a setting."""
    page = generator()
    assert page.PAGE.read_text(encoding="utf-8") == page.render()


def test_the_examples_of_the_page_are_manifests() -> None:
    page = (ROOT / "docs" / "reference" / "manifest.md").read_text(encoding="utf-8")
    [example, varied] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    manifest = parse_manifest(example)
    assert manifest.is_durable
    assert set(manifest.capabilities) == {"runtime", "http-client"}
    manifest, _ = resolve_manifest(varied, "the page", Variables({"REGION": Given("eu")}))
    assert (manifest.name, manifest.limits.cpu_ms) == ("orders-eu", 500)
