"""Read a manifest strictly: whatever is not understood is refused, and everything that is wrong is named at once.

Invariants: no key is ignored; no value is converted to another kind; a setting that would have no effect beside the
others is refused; nothing but `SpawnRefused` is raised for bad input.
Source: architecture, "What must never happen".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from theater_bus.core.mailbox import Bounds
from theater_bus.core.manifest.document import Manifest
from theater_bus.core.manifest.problem import Path, Problem, lines_of, refuse
from theater_bus.core.manifest.schema import PAGE_BYTES, SECTIONS, ChainSettings, Limits
from theater_bus.core.manifest.variables import Variables, resolve
from theater_bus.core.setting import RULE, Choice, PlainValue, Rule, Text, Whole
from theater_bus.core.supervision import Action, FailurePolicy
from theater_bus.errors import SpawnRefused

__all__ = ["CAPABILITY_NAME", "from_mapping", "parse_manifest", "resolve_manifest"]

CAPABILITY_NAME: Final = Text(r"[a-z0-9][a-z0-9-]{0,63}", "1 to 64 lower-case letters, digits or `-`")
"""What a capability may be called."""
_PAGES: Final = Whole(1, 65_536)
Table: TypeAlias = Mapping[Any, object]
"""A table as it was found: its keys may be anything that msgpack allows."""
_TABLES: Final = ("on_failure", *SECTIONS, "capabilities")
_ELSEWHERE: Final = {
    "handler": "capabilities.<name>",
    "handlers": "capabilities.<name>",
    "permission": "capabilities.<name>",
    "permissions": "capabilities.<name>",
    "permission_policy": "capabilities.<name>",
    "save_chain": "chain.durability",
    "timeout": "limits.timeout_ms",
    "memory": "limits.memory_bytes",
}
"""Names that people bring from elsewhere, and what they are here."""


def parse_manifest(text: str, source: str = "manifest") -> Manifest:
    """The manifest that a TOML text is. `source` (a file name) begins each message.

    Raises `SpawnRefused`; its `details.problems` lists every problem with path, line (0: unknown), text and fix.
    """
    return _read(_tables(text, source), source, lines_of(text))


def resolve_manifest(
    document: str | Mapping[str, object], source: str, variables: Variables
) -> tuple[Manifest, dict[str, object]]:
    """The manifest that a TOML text, or a map, is once its variables are replaced; and its tables, which can travel.

    Raises as `parse_manifest`; what is wrong with variables comes first, and alone.
    """
    found: Mapping[str, object]
    if isinstance(document, str):
        found, lines = _tables(document, source), lines_of(document)
    else:
        found, lines = document, {}
    resolved, problems = resolve(found, variables, _rule_at)
    if problems:
        raise refuse(problems, source, lines)
    assert isinstance(resolved, dict)
    return _read(resolved, source, lines), resolved


def _tables(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        fix = "Fix: correct it; a text stands in quotes, a section's name in brackets"
        raise SpawnRefused(f"{source}: not TOML: {error}. {fix}", source=source, problems=[]) from None


def _rule_at(path: Path) -> Rule | None:
    """The rule of a setting that is no plain value of any kind."""
    sections = {(): Manifest, ("on_failure",): FailurePolicy} | {(name,): type_ for name, type_ in SECTIONS.items()}
    section = sections.get(path[:-1])
    rule = None if section is None else _rules(section).get(path[-1])
    return None if isinstance(rule, PlainValue) else rule


def from_mapping(found: Mapping[str, object], source: str = "manifest") -> Manifest:
    """The manifest that a map of plain values is, as a spawn request carries it. Raises as `parse_manifest`."""
    return _read(found, source, {})


def _read(found: Mapping[str, object], source: str, lines: Mapping[Path, int]) -> Manifest:
    problems: list[Problem] = []
    top = {key: value for key, value in found.items() if key not in _TABLES}
    values = _settings(Manifest, top, (), problems)
    if "name" not in top:
        problems.append(Problem(("name",), "is missing", 'add `name = "…"` at the top'))
    limits = _limits(_table(found, "limits", problems), problems)
    mailbox = _settings(Bounds, _table(found, "mailbox", problems), ("mailbox",), problems)
    chain = _chain(_table(found, "chain", problems), problems)
    on_failure = _on_failure(found.get("on_failure", {}), problems)
    capabilities = _capabilities(_table(found, "capabilities", problems), problems)
    if problems:
        raise refuse(problems, source, lines)
    if "expose" in values:
        values["expose"] = tuple(values["expose"])  # type: ignore[arg-type]  # the rule saw a list of texts
    return Manifest(
        **values,  # type: ignore[arg-type]  # each value was accepted by its field's rule
        on_failure=FailurePolicy(**on_failure),  # type: ignore[arg-type]
        limits=Limits(**limits),  # type: ignore[arg-type]
        mailbox=Bounds(**mailbox),  # type: ignore[arg-type]
        chain=ChainSettings(**chain),  # type: ignore[arg-type]
        capabilities=capabilities,  # type: ignore[arg-type]
    )


def _rules(section: type) -> dict[str, Rule]:
    return {one.name: one.metadata[RULE] for one in fields(section) if RULE in one.metadata}


def _settings(section: type, found: Table, path: Path, problems: list[Problem]) -> dict[str, object]:
    """The accepted values of a section; whatever is not accepted becomes a problem."""
    rules = _rules(section)
    accepted: dict[str, object] = {}
    for key, value in found.items():
        rule = rules.get(key) if isinstance(key, str) else None
        if rule is None:
            problems.append(_unknown(str(key), path, (*rules, *_extra(path))))
            continue
        wrong = rule.check(value)
        if wrong:
            fix = f"write {rule.describe().replace(', ', ' or ')}" if isinstance(rule, Choice) else ""
            problems.append(Problem((*path, str(key)), wrong, fix))
        else:
            accepted[str(key)] = value
    return accepted


def _table(found: Mapping[str, object], name: str, problems: list[Problem]) -> Table:
    table = found.get(name, {})
    if isinstance(table, Mapping):
        return table
    problems.append(Problem((name,), "must be a table", f"write `[{name}]` and its settings below"))
    return {}


def _limits(found: Table, problems: list[Problem]) -> dict[str, object]:
    rest = dict(found)
    pages: Any = rest.pop("memory_pages", None)
    accepted = _settings(Limits, rest, ("limits",), problems)
    if "memory_pages" in found:
        wrong = _PAGES.check(pages)
        if wrong is None and "memory_bytes" in found:
            wrong = "stands beside memory_bytes, which says the same"
        if wrong:
            problems.append(Problem(("limits", "memory_pages"), wrong))
        else:
            accepted["memory_bytes"] = pages * PAGE_BYTES
    size = accepted.get("memory_bytes", 0)
    if isinstance(size, int) and size % PAGE_BYTES:
        fix = f"use {size // PAGE_BYTES * PAGE_BYTES} or {(size // PAGE_BYTES + 1) * PAGE_BYTES}"
        problems.append(Problem(("limits", "memory_bytes"), f"is {size:,}, no multiple of {PAGE_BYTES:,}", fix))
    return accepted


def _chain(found: Table, problems: list[Problem]) -> dict[str, object]:
    accepted = _settings(ChainSettings, found, ("chain",), problems)
    durability = accepted.get("durability", "memory")
    if durability != "memory":
        for name in ("keep_events", "keep_bytes"):
            if name in accepted:
                what = f'has no effect with durability = "{durability}"'
                problems.append(Problem(("chain", name), what, 'remove it, or use durability = "memory"'))
    if durability == "sync" and "publish" in accepted:
        what = 'has no effect with durability = "sync", where the stream republishes by itself'
        problems.append(Problem(("chain", "publish"), what, "remove it"))
    return accepted


def _on_failure(found: object, problems: list[Problem]) -> dict[str, object]:
    if not isinstance(found, Mapping):
        found = {"action": found}
    accepted = _settings(FailurePolicy, found, ("on_failure",), problems)
    action = accepted.get("action", Action.RESTART.value)
    if action != Action.RESTART.value:
        for name in sorted(accepted.keys() - {"action"}):
            what = f'has no effect with action = "{action}"'
            problems.append(Problem(("on_failure", name), what, 'remove it, or use action = "restart"'))
    return accepted


def _capabilities(found: Table, problems: list[Problem]) -> dict[str, dict[str, object]]:
    accepted: dict[str, dict[str, object]] = {}
    for name, settings in found.items():
        path = ("capabilities", str(name))
        wrong = CAPABILITY_NAME.check(name)
        if wrong:
            problems.append(Problem(path, wrong))
        elif not isinstance(settings, Mapping):
            fix = f"write `[capabilities.{name}]` and its settings below"
            problems.append(Problem(path, "must be a table", fix))
        else:
            wrong = PlainValue().check(settings)
            if wrong:
                problems.append(Problem(path, wrong))
            accepted[str(name)] = dict(settings)
    return accepted


def _extra(path: Path) -> tuple[str, ...]:
    """What a section takes beside the fields of its class."""
    return {(): _TABLES, ("limits",): ("memory_pages",)}.get(path, ())


def _unknown(key: str, path: Path, known: tuple[str, ...]) -> Problem:
    what = "is no setting of the manifest"
    if key in _ELSEWHERE:
        return Problem((*path, key), what, f"did you mean `{_ELSEWHERE[key]}`?")
    near = get_close_matches(key, known, n=1)
    if near:
        return Problem((*path, key), what, f"did you mean `{near[0]}`?")
    for section, type_ in (("", Manifest), ("on_failure", FailurePolicy), *SECTIONS.items()):
        if key in _rules(type_):
            where = f"under `[{section}]`" if section else "at the top, before the first section"
            return Problem((*path, key), what, f"`{key}` stands {where}")
    return Problem((*path, key), what, "use one of " + ", ".join(sorted(known)))
