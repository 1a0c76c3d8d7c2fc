"""Variables in a manifest: `${var.NAME}` and `${env.NAME}`, with `:-` and a default behind the name; `$${` is `${`.

Invariants: values are put into the tables of a manifest, never into its text, so none can become a key or a section,
and what a value holds is not looked at again; a variable that is unknown, without a value and a default, or given and
not used is a problem, and all of them are named at once; nothing that looks like a secret is taken from the
environment, since a manifest is recorded.
Source: reference, "The manifest".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, TypeAlias

from theater_bus.core.manifest.problem import Path, Problem
from theater_bus.core.setting import Plain, PlainValue, Rule

__all__ = ["Given", "Variables", "looks_secret", "resolve"]

MOST_CHARACTERS: Final = 1 << 20
DEEPEST: Final = 64
_PLACE: Final = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_VARIABLE: Final = re.compile(r"(var|env)\.([A-Za-z_][A-Za-z0-9_-]*)(?::-(.*))?", re.DOTALL)
_HOST_SETTINGS: Final = "THEATER_BUS_"
_SECRET_WORDS: Final = frozenset(
    {
        "APIKEY",
        "CREDENTIAL",
        "CREDENTIALS",
        "CREDS",
        "KEY",
        "PASSPHRASE",
        "PASSWD",
        "PASSWORD",
        "PRIVATE",
        "SECRET",
        "SECRETS",
        "SEED",
        "TOKEN",
    }
)
RuleAt: TypeAlias = Callable[[Path], "Rule | None"]


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody typed it. Alone it is read as TOML would (`5`, `true`, `["a"]`), within a text it stays."""

    text: str


@dataclass(frozen=True, slots=True)
class Variables:
    """What `${var.NAME}` and `${env.NAME}` stand for."""

    values: Mapping[str, Plain | Given] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def looks_secret(name: str) -> bool:
    """Whether a variable of the environment is kept out by its name: the host's own settings, and secrets."""
    return name.startswith(_HOST_SETTINGS) or not _SECRET_WORDS.isdisjoint(name.upper().split("_"))


def resolve(found: object, variables: Variables, rule_at: RuleAt) -> tuple[object, list[Problem]]:
    """The tables of a manifest with its variables replaced, and what is wrong with those.

    A variable that is a whole value takes the kind that the setting wants: a text where its rule takes one, else what
    TOML reads.
    """
    resolution = _Resolution(variables, rule_at)
    resolved = resolution.walk(found, ())
    for name in sorted(variables.values.keys() - resolution.used):
        near = get_close_matches(name, resolution.used, n=1)
        fix = f"did you mean `{near[0]}`?" if near else "leave it out"
        resolution.problems.append(Problem(("var", name), "is given, and the manifest has no such variable", fix))
    return resolved, resolution.problems


class _Resolution:
    def __init__(self, variables: Variables, rule_at: RuleAt) -> None:
        self._variables = variables
        self._rule_at = rule_at
        self.problems: list[Problem] = []
        self.used: set[str] = set()

    def walk(self, found: object, path: Path) -> object:
        if len(path) >= DEEPEST:
            return found
        if isinstance(found, Mapping):
            return {key: self.walk(value, (*path, str(key))) for key, value in found.items()}
        if isinstance(found, (list, tuple)):
            return [self.walk(value, (*path, str(number))) for number, value in enumerate(found)]
        if isinstance(found, str) and "${" in found:
            return self._text(found, path)
        return found

    def _text(self, text: str, path: Path) -> object:
        whole = _PLACE.fullmatch(text)
        if whole is not None and whole[1] is not None:
            return self._alone(self._value(whole, path), path)
        result = _PLACE.sub(lambda place: self._within(place, path), text)
        if len(result) > MOST_CHARACTERS:
            self._problem(path, f"has {len(result):,} characters with its variables", f"at most {MOST_CHARACTERS:,}")
        return result

    def _alone(self, value: Plain | Given, path: Path) -> object:
        if not isinstance(value, Given):
            return value
        rule = self._rule_at(path)
        if rule is not None and rule.check(value.text) is None:
            return value.text
        return _literal(value.text)

    def _within(self, place: re.Match[str], path: Path) -> str:
        if place[1] is None:
            return "${"
        value = self._value(place, path)
        if isinstance(value, Given):
            return value.text
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, (int, float)):
            return repr(value)
        if value is not None:
            self._problem(path, f"holds `{place[0]}`, which is no text or number", "let it stand alone")
        return ""

    def _value(self, place: re.Match[str], path: Path) -> Plain | Given:
        """What a variable stands for; None after a problem."""
        found = _VARIABLE.fullmatch(place[1]) if place[2] else None
        if found is None:
            self._problem(path, *_not_a_variable(place[0]))
            return None
        kind, name, default = found[1], found[2], found[3]
        if kind == "env" and looks_secret(name):
            fix = "hand it out as a handle with the capability config, or give it on purpose with --set"
            self._problem(path, f"holds `{place[0]}`, which looks like a secret, and a manifest is recorded", fix)
            return None
        value = self._variable(name) if kind == "var" else self._from_environment(name)
        if value is not None:
            return value
        if default is not None:
            return Given(default)
        if kind == "var":
            self._problem(path, f"needs the variable {name}", f"give it (`--set {name}=VALUE`), or write a default")
        else:
            fix = f"set it, or write a default: `${{env.{name}:-DEFAULT}}`"
            self._problem(path, f"needs {name}, which the environment does not have", fix)
        return None

    def _variable(self, name: str) -> Plain | Given:
        self.used.add(name)
        return self._variables.values.get(name)

    def _from_environment(self, name: str) -> Given | None:
        value = self._variables.environment.get(name)
        return Given(value) if value else None

    def _problem(self, path: Path, what: str, fix: str) -> None:
        self.problems.append(Problem(path, what, fix))


def _not_a_variable(text: str) -> tuple[str, str]:
    """What is wrong with it, and what to do."""
    if text.startswith("${secret."):
        fix = "name it under [capabilities.config] `secrets`, and use the handle `secret:NAME`"
        return f"holds `{text:.80}`, and no secret stands in a manifest", fix
    fix = "write `${var.NAME}` or `${env.NAME}`, with `:-` and a default if it may be missing; `$${` stands for `${`"
    return f"holds `{text:.80}`, which is no variable", fix


def _literal(text: str) -> Plain:
    """What TOML reads in the place of a value: a number, true, a list; the text itself where it is none of these."""
    try:
        found = tomllib.loads(f"value = {text}") if "\n" not in text else {}
    except (ValueError, RecursionError):
        return text
    value: Plain = found.get("value", text)
    return text if PlainValue().check(value) else value
