"""JSON on the command line: parameters, states, and where exactly one is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from theater_bus.cli.command import UsageProblem
from theater_bus.core.wire.strict import from_base64, read_json
from theater_bus.errors import SerializationError

__all__ = ["json_argument", "parameters"]

_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def json_argument(text: str, what: str) -> Any:
    """The plain value that JSON `text` is; `{"$bytes": base64}` and `{"$float": "nan"}` are bytes and floats.

    Raises `UsageProblem` naming `what`.
    """
    try:
        return _plain(read_json(text.encode("utf-8", "surrogateescape")))
    except SerializationError as error:
        reason = error.message.partition(". Fix: ")[0]
        fix = "write JSON"
        if text.startswith("--"):
            fix = f"there is no option {text[:40]}; see `theater-bus call --help`"
        elif text and text[0] not in '{["-0123456789':
            fix = f"""a text stands in quotes, for the shell as well: '"{text[:40]}"'"""
        raise UsageProblem(f"{what} is {text[:60]!r}: {reason}", fix) from None


def parameters(words: Sequence[str], named: str | None) -> list[Any] | dict[str, Any] | None:
    """The parameters of a call: `words` one by one, or `named`, a JSON object. Raises `UsageProblem`."""
    if named is None:
        return [json_argument(word, f"parameter {number}") for number, word in enumerate(words, 1)] or None
    if words:
        raise UsageProblem("parameters are given by position and with --named", "use one of the two")
    value = json_argument(named, "--named")
    if not isinstance(value, dict):
        raise UsageProblem(f"--named is {named[:60]!r}, which is no JSON object", """write --named '{"by": 5}'""")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, inside),) = value.items()
        if name == "$bytes" and isinstance(inside, str):
            return from_base64(inside)
        if name == "$float" and isinstance(inside, str) and inside in _FLOATS:
            return _FLOATS[inside]
    return {name: _plain(item) for name, item in value.items()}
