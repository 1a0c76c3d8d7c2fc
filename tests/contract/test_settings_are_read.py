"""No setting is accepted and ignored: whatever a settings class declares is read where it should take effect.

A net, not a proof: names are compared, not objects. What the settings do is proved beside the code that they steer.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from theater_bus.bus import BusSettings
from theater_bus.core.idempotency import WindowBounds
from theater_bus.core.mailbox import Bounds
from theater_bus.core.manifest import Manifest
from theater_bus.core.manifest.schema import ChainSettings, Limits
from theater_bus.core.supervision import FailurePolicy
from theater_bus.engine import EngineSettings
from theater_bus.engine import Limits as InstanceLimits
from theater_bus.host.chain import FileSettings
from theater_bus.host.settings import HostSettings

ROOT = Path(__file__).parents[2] / "theater_bus"
DECLARING = {"bus/settings.py", "engine/settings.py"}
FOR_PEOPLE = {"version", "description"}
"""What a manifest says to people only: `info.<id>.manifest` shows it."""


def names(cls: type) -> Collection[str]:
    return cls.model_fields if issubclass(cls, HostSettings) else [one.name for one in fields(cls)]  # type: ignore[arg-type]


@cache
def reads(pattern: str) -> frozenset[str]:
    """The attributes that the modules read, without those that declare settings."""
    found = set()
    for path in ROOT.glob(pattern):
        if path.relative_to(ROOT).as_posix() in DECLARING:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
    return frozenset(found)


@pytest.mark.parametrize(
    ("cls", "where"),
    [
        (HostSettings, ("host/*.py",)),
        (BusSettings, ("bus/*.py",)),
        (EngineSettings, ("engine/*.py",)),
        (InstanceLimits, ("engine/*.py", "engine/component/*.py")),
        (Manifest, ("host/*.py", "core/manifest/*.py")),
        (Limits, ("host/*.py", "core/manifest/schema.py")),
        (ChainSettings, ("host/*.py", "core/manifest/schema.py")),
        (Bounds, ("core/mailbox.py",)),
        (FailurePolicy, ("core/supervision.py",)),
        (FileSettings, ("host/chain/*.py",)),
        (WindowBounds, ("core/idempotency.py",)),
    ],
)
def test_every_setting_is_read(cls: type, where: tuple[str, ...]) -> None:
    read = frozenset().union(*map(reads, where))
    assert sorted(set(names(cls)) - read - FOR_PEOPLE) == []
