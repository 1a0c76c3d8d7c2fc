"""Small distributions on disk, with real entry points, found by the real import system."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from theater_bus.capability import Capability
from theater_bus.plugins import Found, find

Distribute = Callable[..., Found]
_NUMBER = count()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed distributions, in front of `sys.path`; its modules are forgotten at the end."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name, module in list(sys.modules.items()):
        if str(folder) in str(getattr(module, "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def distribute(site: Path) -> Distribute:
    """`distribute("clock", source, files={"clock.pact": …}, distribution=…)`: install a plugin; gives its entry."""

    def make(name: str, source: str, *, files: dict[str, str] | None = None, distribution: str = "") -> Found:
        module = f"plugin_{name.replace('-', '_')}_{next(_NUMBER)}"
        distribution = distribution or f"dist-{name}"
        (site / f"{module}.py").write_text(dedent(source), "utf-8")
        for file, text in (files or {}).items():
            (site / file).write_text(dedent(text), "utf-8")
        info = site / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[theater_bus]\n{name} = {module}\n")
        return next(one for one in find() if one.value == module)

    return make


@pytest.fixture
def capability() -> Callable[..., type[Capability]]:
    """`capability(exports, now=function, …)`: a capability class with this `exports` block and these methods."""

    def make(exports: str, /, *, name: str = "tool", annotations: str = "", **methods: object) -> type[Capability]:
        pact = f'interface api {{\n@package: string = "test:{name}"\n{annotations}\nexports {{\n{exports}\n}}\n}}'
        return type("Tool", (Capability,), {"name": name, "pact": pact, **methods})

    return make
