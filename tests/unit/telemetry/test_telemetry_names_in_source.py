"""Every name that the source emits by a literal is registered, with attributes and fields that are too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from theater_bus.telemetry import REGISTRY

ROOT = Path(__file__).resolve().parents[3]
METRICS = ("count", "record", "register_gauge")
EVENTS = ("event", "_event")


def emissions() -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield where, by which method, which name, with which keywords."""
    for path in sorted((ROOT / "theater_bus").rglob("*.py")):
        if path.parent.name == "telemetry":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            name = node.args[0]
            if node.func.attr in (*METRICS, *EVENTS) and isinstance(name, ast.Constant) and "." in str(name.value):
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield where, node.func.attr, str(name.value), list(keywords(node))


def keywords(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg
        elif isinstance(keyword.value, ast.Dict):
            yield from (str(key.value) for key in keyword.value.keys if isinstance(key, ast.Constant))


def problem(method: str, name: str, given: list[str]) -> str | None:
    if method in EVENTS:
        event = REGISTRY.logs.get(name)
        allowed = set() if event is None else set(event.fields)
    else:
        metric = REGISTRY.metrics.get(name)
        full = () if metric is None else (*metric.attributes, *metric.optional)
        allowed = {*full, *(each.rpartition(".")[2] for each in full)}
    table = REGISTRY.logs if method in EVENTS else REGISTRY.metrics
    if name not in table:
        return f"{name} is not registered"
    unknown = sorted(set(given) - allowed)
    return f"{name} has no {', '.join(unknown)}" if unknown else None


def test_every_name_in_the_source_is_registered() -> None:
    found = list(emissions())
    assert len(found) > 5
    problems = [f"{where}: {text}" for where, method, name, given in found if (text := problem(method, name, given))]
    assert problems == []
