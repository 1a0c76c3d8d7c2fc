"""Names of exported functions as subject tokens, one spelling each.

Invariants: a function has exactly one spelling as tokens; `decode_tail` accepts a tail only if encoding what it decodes
gives the same text back, so no alias can slip past a permission; an interface-qualified export is two tokens and a bare
one is one, so that neither reaches the other.
Source: wire protocol, "Functions" and "Who is calling".
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

from theater_bus.core.wire.caller import Caller
from theater_bus.core.wire.identity import is_name
from theater_bus.errors import FunctionNotFound

__all__ = ["MAX_TAIL", "Tails", "Target", "decode_tail", "encode_function", "encode_tail"]

MAX_TAIL = 1024
"""Characters that a function and its caller may take in a subject."""

_SHOWN = 120
_UNSAFE = re.compile(rb"[^A-Za-z0-9_:/@-]")
_FIX = "Fix: write bytes outside A-Z a-z 0-9 _ : / @ - as %XX (upper case, '.' and a leading '@' too)"


class Target(NamedTuple):
    """What a subject asks for: the export's full name (`interface.function` or bare), and who says they ask."""

    function: str
    caller: Caller | None


def encode_function(name: str) -> str:
    """The tokens of an export: `acme:shop/cart@1.2.add` → `acme:shop/cart@1%2E2.add`, `increment` → `increment`.

    The function is what follows the last dot, the interface what is before it. Raises `FunctionNotFound` for a name
    that no export can have: an empty part, or one that is not Unicode text.
    """
    interface, dot, function = name.rpartition(".")
    if not function or (dot and not interface):
        raise FunctionNotFound(
            f"{name[:_SHOWN]!r} names no function. Fix: use NAME or INTERFACE.NAME", function=name[:_SHOWN]
        )
    try:
        return f"{_encode_token(interface)}.{_encode_token(function)}" if dot else _encode_token(function)
    except UnicodeEncodeError:
        raise FunctionNotFound(f"{name[:_SHOWN]!r} is not Unicode text", function=ascii(name[:_SHOWN])) from None


def encode_tail(function: str, caller: Caller | None = None) -> str:
    """What follows the actor's id in a subject: the function, then the caller's token where there is one."""
    tokens = encode_function(function)
    if caller is None:
        return tokens
    return f"{tokens}.{'@actor' if caller.is_actor else '@'}.{caller.id}"


def decode_tail(tail: str) -> Target:
    """What the tokens after the actor's id ask for; anything but the one right spelling is `FunctionNotFound`."""
    if len(tail) > MAX_TAIL:
        _refuse(tail, f"it is longer than {MAX_TAIL} characters")
    tokens = tail.split(".")
    caller = None
    if len(tokens) > 2:
        caller = _caller(tail, tokens)
        del tokens[-2:]
    if len(tokens) > 2:
        _refuse(tail, "it has too many tokens")
    name = ".".join([_decode_token(tail, token) for token in tokens])
    if encode_function(name) != ".".join(tokens):
        _refuse(tail, "a name is spelt in another way than the encoding would")
    return Target(name, caller)


class Tails:
    """Decodes tails and remembers them: one dictionary lookup for a function and caller seen before.

    One instance may serve all actors of a host. It keeps at most `capacity` tails, and starts afresh when full.
    """

    __slots__ = ("_capacity", "_seen")

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._seen: dict[str, Target] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def decode(self, tail: str) -> Target:
        """As `decode_tail`; refused tails are not remembered."""
        found = self._seen.get(tail)
        if found is not None:
            return found
        found = decode_tail(tail)
        if len(self._seen) >= self._capacity:
            self._seen.clear()
        self._seen[tail] = found
        return found


def _encode_token(part: str) -> str:
    token = _UNSAFE.sub(_percent, part.encode()).decode("ascii")
    # A token that begins with @ is the caller's, never a function's.
    return f"%40{token[1:]}" if token[0] == "@" else token


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def _decode_token(tail: str, token: str) -> str:
    try:
        part = unquote_to_bytes(token).decode()
    except UnicodeError:
        _refuse(tail, "a name is not UTF-8")
    if not part:
        _refuse(tail, "a token is empty")
    return part


def _caller(tail: str, tokens: list[str]) -> Caller:
    mark, name = tokens[-2:]
    if mark not in ("@", "@actor") or not is_name(name):
        _refuse(tail, "what follows the function is not .@.CALLER or .@actor.ID")
    return Caller(name, mark == "@actor")


def _refuse(tail: str, why: str) -> NoReturn:
    shown = ascii(tail[:_SHOWN])
    raise FunctionNotFound(f"{shown} addresses no function: {why}. {_FIX}", function=shown[1:-1], nearest=[])
