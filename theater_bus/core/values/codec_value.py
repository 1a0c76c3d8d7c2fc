"""One value of a declared type: plain to CGRF, CGRF to plain, and the check without either.

Invariants: codecs have no state of their own and are shared by everyone who has the same type; whatever `encode` makes,
`check` accepts and `decode` gives back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

from theater_bus.core.values.codec_check import compile_checker
from theater_bus.core.values.codec_decode import compile_decoder
from theater_bus.core.values.codec_encode import compile_encoder
from theater_bus.core.values.codec_reader import Decoder, Form
from theater_bus.core.values.mismatch import Fault
from theater_bus.core.values.nodes import DEFAULT_LIMITS, Fixes, Limits, Out, assemble
from theater_bus.core.values.scan import offsets_of, scan
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.values.types import Type
from theater_bus.errors import TooLarge

__all__ = ["MAX_PLAIN_NODES", "Int64", "ValueCodec", "form_of", "too_many_nodes", "value_codec"]

MAX_PLAIN_NODES = 20_000
"""Nodes decoded into plain values unless the caller allows more; a primitive array counts as one."""

Int64: TypeAlias = Literal["number", "string"]
"""How 64-bit integers come out in JSON: as numbers, or as decimal strings for readers that only have doubles."""

_FIRST = [0]


def form_of(int64: Int64) -> Form:
    """The JSON form with this rendering of 64-bit integers."""
    return Form.JSON_TEXT if int64 == "string" else Form.JSON


def too_many_nodes(count: int, limit: int) -> TooLarge:
    """The error for a value with more nodes than may be decoded."""
    return TooLarge(
        f"value has {count} nodes, over the limit of {limit}. Fix: ask for the reply as cgrf, use primitive arrays,"
        " or raise the limit in the manifest",
        nodes=count,
        limit=limit,
    )


class ValueCodec:
    """Converts and checks values of one declared type. Get one from `value_codec`."""

    __slots__ = ("_check", "_decode", "_encode", "_encode_json", "type")

    def __init__(self, type_: Type) -> None:
        self.type = type_
        self._encode = compile_encoder(type_, False)
        self._encode_json = compile_encoder(type_, True)
        self._decode = compile_decoder(type_, Form.PLAIN)
        self._check = compile_checker(type_)

    def encode(self, plain: object) -> Subtree:
        """The value that `plain` says. Raises `TypeMismatch` with the path to what does not fit."""
        out: Out = []
        fix: Fixes = []
        try:
            self._encode(plain, out, fix, 1)
        except Fault as fault:
            raise fault.mismatch("value") from None
        return assemble(out, fix)

    def encode_json(self, plain: object) -> Subtree:
        """As `encode`, for what a JSON parser gives: `$bytes`, `$float` and decimal strings are understood."""
        out: Out = []
        fix: Fixes = []
        try:
            self._encode_json(plain, out, fix, 1)
        except Fault as fault:
            raise fault.mismatch("value") from None
        return assemble(out, fix)

    def decode(self, subtree: Subtree, max_nodes: int = MAX_PLAIN_NODES) -> object:
        """The plain value in a validated subtree.

        Raises `TypeMismatch` when it is of another type, `TooLarge` when it has more than `max_nodes` nodes.
        """
        return _read(self._decode, subtree, max_nodes)

    def decode_json(self, subtree: Subtree, int64: Int64 = "number", max_nodes: int = MAX_PLAIN_NODES) -> object:
        """As `decode`, as a value that JSON can carry."""
        return _read(compile_decoder(self.type, form_of(int64)), subtree, max_nodes)

    def check(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Subtree:
        """The canonical subtree of a foreign buffer that holds a value of this type; no values are built.

        Raises `SerializationError` for invalid bytes, `TypeMismatch` for another type.
        """
        layout = scan(data, limits)
        root = len(layout.offsets) - 1
        try:
            self._check(layout.data, layout.offsets, root)
        except Fault as fault:
            raise fault.mismatch("value") from None
        return layout.subtree(root)


def _read(decode: Decoder, subtree: Subtree, max_nodes: int) -> object:
    try:
        if subtree.count == 1:
            return decode(subtree.nodes, _FIRST, 0)
        if subtree.count > max_nodes:
            raise too_many_nodes(subtree.count, max_nodes)
        return decode(subtree.nodes, offsets_of(subtree), subtree.count - 1)
    except Fault as fault:
        raise fault.mismatch("value") from None


@lru_cache(maxsize=4096)
def value_codec(type_: Type) -> ValueCodec:
    """The codec of a declared type, compiled once."""
    return ValueCodec(type_)
