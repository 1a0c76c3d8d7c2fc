"""The codec of one host function: what the guest passes, and what it gets back.

Invariants: the guest's bytes are validated and checked before a host function sees anything; what goes back is
canonical and of the declared type, or the call fails on the host's side. Source: pack-abi §3.5.
"""

from __future__ import annotations

from functools import lru_cache

from theater_bus.core.values.codec_decode import compile_decoder
from theater_bus.core.values.codec_encode import compile_encoder
from theater_bus.core.values.codec_reader import Form
from theater_bus.core.values.codec_value import MAX_PLAIN_NODES, too_many_nodes
from theater_bus.core.values.mismatch import Fault
from theater_bus.core.values.nodes import DEFAULT_LIMITS, Fixes, Limits, Out, assemble
from theater_bus.core.values.scan import scan
from theater_bus.core.values.types import Function, TupleOf, Unit

__all__ = ["ImportCodec", "import_codec", "tupled_import_codec"]


class ImportCodec:
    """Converts and checks the arguments and the result of a host function. Get one from `import_codec`.

    Guests pass a single argument bare; those that are `tupled` pass a tuple of one.
    """

    __slots__ = ("_decode", "_encode", "_single", "function", "limits")

    def __init__(self, function: Function, limits: Limits = DEFAULT_LIMITS, *, tupled: bool = False) -> None:
        self.function, self.limits = function, limits
        types = tuple([param.type for param in function.params])
        self._single = len(types) == 1 and not tupled
        self._decode = compile_decoder(types[0] if self._single else TupleOf(types), Form.PLAIN)
        self._encode = compile_encoder(function.result or Unit(), False)

    def decode_args(self, data: bytes, max_nodes: int = MAX_PLAIN_NODES) -> list[object]:
        """The arguments as plain values: guests pass none as the empty tuple, one bare, more as a tuple.

        Raises `SerializationError`, `TypeMismatch` with the path, or `TooLarge` above `max_nodes` nodes.
        """
        layout = scan(data, self.limits)
        offsets = layout.offsets
        if len(offsets) > max_nodes:
            raise too_many_nodes(len(offsets), max_nodes)
        try:
            found = self._decode(layout.data, offsets, len(offsets) - 1)
        except Fault as fault:
            raise self._named(fault).mismatch("params", self.function.name) from None
        return found if isinstance(found, list) and not self._single else [found]

    def encode_result(self, plain: object) -> bytes:
        """The answer for the guest, as a complete buffer; `{"ok": x}` or `Ok(x)` where a result is declared.

        Raises `TypeMismatch` when the host function gave something else than it declares.
        """
        out: Out = []
        fix: Fixes = []
        try:
            self._encode(plain, out, fix, 1)
        except Fault as fault:
            raise fault.mismatch("result", self.function.name) from None
        return assemble(out, fix).standalone()

    def _named(self, fault: Fault) -> Fault:
        """The fault with the parameter's name in place of its number."""
        names = [param.name for param in self.function.params]
        if self._single:
            return fault.under(f".{names[0]}")
        if fault.steps:
            place = fault.steps.pop()
            fault.under(f".{names[int(place[1:-1])]}")
        return fault


@lru_cache(maxsize=4096)
def tupled_import_codec(function: Function) -> ImportCodec:
    """The codec of a host function whose arguments always come as a tuple, compiled once per signature."""
    return ImportCodec(function, tupled=True)


@lru_cache(maxsize=4096)
def import_codec(function: Function) -> ImportCodec:
    """The codec of a host function, compiled once per signature."""
    return ImportCodec(function)
