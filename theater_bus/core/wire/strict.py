"""Readers of msgpack and JSON that accept one reading of the bytes only, and the writers beside them.

Invariants: what a reader returns consists of plain Python values (dict with str keys, list, str, bytes, int, float,
bool, None), nested no deeper than asked for once `check_nesting` has passed; there are no duplicate keys, extension
types, lone surrogates, trailing bytes, and in JSON no NaN and no infinity. A reader raises `SerializationError`, and
`TooLarge` for more containers than it is told to make: a byte of msgpack can be a whole map, so that a body within the
limit of bytes could still take gigabytes and hold up everybody for seconds.
Source: wire protocol, "Plain values" (what is refused) and "Limits".
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable
from itertools import chain
from typing import Any, NoReturn

import msgpack

from theater_bus.errors import SerializationError, TooLarge

__all__ = [
    "DEFAULT_DEPTH",
    "SMALL",
    "base64_of",
    "check_nesting",
    "from_base64",
    "read_flat_map",
    "read_json",
    "read_msgpack",
    "write_json",
    "write_msgpack",
]

DEFAULT_DEPTH = 64
"""How deep the containers of a value may nest."""
SMALL = 64 * 1024
"""Bytes of a body whose containers are not counted: there cannot be too many."""

# The package has no annotations and does not mark what it exports.
_msgpack: Any = msgpack

_SHOWN = 80
_CONTAINERS = frozenset({list, dict})
# msgpack reads the timestamp extension by itself, without asking ext_hook.
_NOT_FLAT = frozenset({list, dict, _msgpack.Timestamp})
_FLAT = frozenset({int, str, bytes, float, bool, type(None)})
_unpack = _msgpack.unpackb


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        _refuse_duplicate(pairs)
    for key in fields:
        if type(key) is not str:
            raise SerializationError(f"map key {key!r:.80} is not text")
    return fields


def _refuse_duplicate(pairs: list[tuple[str, Any]]) -> NoReturn:
    seen: set[str] = set()
    key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    raise SerializationError(f"map key {key!r:.80} occurs twice")


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise SerializationError(f"msgpack extension type {code} is not a plain value")


class _Counted:
    """Hooks that let so many containers be made, and maps of so many keys; lists of scalars may be long."""

    __slots__ = ("_left", "_most")

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """A map."""
        self._left -= 1
        if self._left < 0 or len(pairs) > self._most:
            _refuse_containers(self._most)
        return _unique(pairs)

    def items(self, items: list[Any]) -> list[Any]:
        """A list."""
        self._left -= 1
        if self._left < 0:
            _refuse_containers(self._most)
        return items


def _refuse_containers(most: int) -> NoReturn:
    raise TooLarge(
        f"the values hold more than {most:,} lists, maps or keys. Fix: send them as cgrf, use lists of numbers, or "
        "raise limits.decode_nodes in the manifest",
        limit=most,
    )


def read_msgpack(body: bytes, containers: int | None = None) -> Any:
    """The plain value in `body`, which it fills exactly. Follow with `check_nesting` where depth matters.

    With `containers`, a large body may hold so many lists and maps, and so many keys in one map.
    """
    counts = containers is not None and len(body) > SMALL
    try:
        if containers is None or not counts:
            return _unpack(body, object_pairs_hook=_unique, ext_hook=_refuse_extension)
        counted = _Counted(containers)
        return _unpack(
            body,
            object_pairs_hook=counted.pairs,
            list_hook=counted.items,
            ext_hook=_refuse_extension,
            max_map_len=containers,
        )
    except (ValueError, RecursionError) as error:
        if containers is not None and counts and "max_map_len" in str(error):
            _refuse_containers(containers)
        why = "nested too deep" if isinstance(error, _msgpack.StackError) else error
        raise SerializationError(f"not valid msgpack: {str(why)[:_SHOWN] or type(why).__name__}") from None


def read_flat_map(body: bytes) -> dict[str, Any] | None:
    """The map in `body` when it is a short one with text keys, and its values are scalars or lists of them. HOT.

    None for anything else, also for what is not valid: then `read_msgpack` decides. There is no map inside, so that
    the only keys which could occur twice are the outer ones, and the head of the body counts those.
    """
    if not 0x81 <= body[0] <= 0x8F or len(body) > SMALL:
        return None
    try:
        fields = _unpack(body)
    except (ValueError, RecursionError):
        return None
    if len(fields) != body[0] & 0x0F:
        return None
    for key, value in fields.items():
        if type(key) is not str:
            return None
        kind = type(value)
        if kind is list:
            # Most calls have a parameter or two; a loop of ours is faster up to some five.
            if len(value) > 5:
                if not _FLAT.issuperset(map(type, value)):
                    return None
            else:
                for item in value:
                    if type(item) not in _FLAT:
                        return None
        elif kind not in _FLAT:
            return None
    return fields  # type: ignore[no-any-return]


def check_nesting(root: Any, depth: int, containers: int | None = None) -> None:
    """Refuse containers that nest deeper than `depth`, where `root` itself is the first, and msgpack timestamps.

    With `containers`, refuse more than so many of them on one level.
    """
    kind = type(root)
    if kind not in _CONTAINERS:
        _refuse_timestamp({kind})
        return
    level: list[Any] = [root]
    for _ in range(depth):
        members = _members(level[0]) if len(level) == 1 else list(chain.from_iterable(map(_members, level)))
        if _NOT_FLAT.isdisjoint(map(type, members)):
            return
        _refuse_timestamp(map(type, members))
        level = [value for value in members if type(value) in _CONTAINERS]
        if containers is not None and len(level) > containers:
            _refuse_containers(containers)
    raise SerializationError(f"values nest deeper than {depth}. Fix: flatten them", limit=depth)


def _members(container: Any) -> Collection[Any]:
    return container if type(container) is list else container.values()


def _refuse_timestamp(kinds: Iterable[type]) -> None:
    if _msgpack.Timestamp in kinds:
        raise SerializationError("msgpack extension type -1 (timestamp) is not a plain value")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise SerializationError(f"JSON number {text[:_SHOWN]} is out of range")
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise SerializationError(f'{text} is not JSON. Fix: write {{"$float": "nan"}}, "inf" or "-inf"')


def _json_decoder(pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> Callable[[str], Any]:
    return json.JSONDecoder(object_pairs_hook=pairs, parse_float=_finite, parse_constant=_refuse_constant).decode


_json_decode = _json_decoder(_unique)


def read_json(body: bytes, containers: int | None = None) -> Any:
    """The plain value in `body`, strict RFC 8259 in UTF-8 without a byte order mark.

    With `containers`, a large body may hold so many maps, and so many keys in one; `check_nesting` bounds its lists.
    """
    decode = _json_decode
    if containers is not None and len(body) > SMALL:
        decode = _json_decoder(_Counted(containers).pairs)
    try:
        text = body.decode()
        value = decode(text)
        if "\\u" in text:
            # Only an escape can bring a lone surrogate; no encoder of UTF-8 accepts one.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SerializationError("JSON text holds a lone surrogate") from None
    except RecursionError:
        raise SerializationError("JSON values nest too deep") from None
    except ValueError as error:
        raise SerializationError(f"not valid JSON: {str(error)[:_SHOWN]}") from None
    return value


def base64_of(data: bytes) -> str:
    """Standard base64 with padding, as JSON forms write bytes."""
    return b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes of canonical base64; anything else is `SerializationError`."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = None
    if data is None or base64_of(data) != text:
        raise SerializationError(f"{text[:_SHOWN]!r} is not canonical base64")
    return data


def _json_bytes(value: object) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64_of(bytes(value))}
    raise TypeError(f"{type(value).__name__} is not a plain value")


_json_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_json_bytes).encode
_pack: Callable[[Any], bytes] = _msgpack.Packer(autoreset=True).pack


def write_msgpack(value: Any) -> bytes:
    """`value` as msgpack, shortest forms. Raises `SerializationError` when it is no plain value."""
    try:
        return _pack(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise SerializationError(f"cannot be written as msgpack: {str(error)[:_SHOWN]}") from None


def write_json(value: Any) -> bytes:
    """`value` as compact JSON, bytes as `{"$bytes": base64}`. Raises `SerializationError` for anything else."""
    try:
        return _json_encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"cannot be written as JSON: {str(error)[:_SHOWN]}") from None
