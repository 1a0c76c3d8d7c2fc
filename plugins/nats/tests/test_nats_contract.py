"""The page says what the pact and the class say."""

from __future__ import annotations

import re
from pathlib import Path

from theater_bus.core.values.pact_format import format_function
from theater_bus.plugins import compile_capability, find
from theater_bus_nats import Nats

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "capabilities" / "nats.md").read_text("utf-8")
TYPE = compile_capability("nats", Nats)


def test_the_page_shows_every_function_with_its_effect_and_every_setting() -> None:
    described = dict(re.findall(r"^\| `([a-z-]+: func.*)` \| .* \| (\w+) \|$", PAGE, re.M))
    assert described == {
        f"{name}: {format_function(function.declaration)}": function.effect
        for (_, name), function in TYPE.functions.items()
    }
    assert set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.M)) == set(Nats.Settings.model_fields)
    assert all(f"| `{name}` | `{digest.hex()}` |" in PAGE for name, digest in TYPE.hashes().items())
    assert TYPE.calls == ("theater:bus/nats-client",)


def test_the_plugin_is_installed_under_its_name() -> None:
    assert [(one.name, one.value) for one in find() if one.name == "nats"] == [("nats", "theater_bus_nats")]
