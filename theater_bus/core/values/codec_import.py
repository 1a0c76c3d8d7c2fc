"""The codec of one host function: what the guest passes, and what it gets back.

Invariants: the guest's bytes are validated and checked before a host function sees anything; what goes back is
canonical and of the declared type, or the call fails on the host's side. Source: pack-abi §3.5.
"""

from __future__ import annotations

from functools import lru_cache

from theater_bus.core.values.codec_decode import compile_decoder
from theater_bus.core.values.codec_encode import compile_encoder
from theater_bus.core.values.codec_reader import Form
from theater_bus.core.values.codec_value import MAX_PLAIN_NODES, too_many_nodes, value_codec
from theater_bus.core.values.mismatch import Fault
from theater_bus.core.values.model import Kind
from theater_bus.core.values.nodes import DEFAULT_LIMITS, Fixes, Limits, Out, assemble
from theater_bus.core.values.scan import children_of, scan
from theater_bus.core.values.types import Dynamic, Function, TupleOf, Unit

__all__ = ["ExactCodec", "ImportCodec", "exact_codec", "import_codec", "tupled_import_codec"]

_TUPLE = int(Kind.TUPLE)


class ImportCodec:
    """Converts and checks the arguments and the result of a host function. Get one from `import_codec`.

    Guests pass a single argument bare; those that are `tupled` pass a tuple of one.
    """

    __slots__ = ("_decode", "_encode", "_single", "_wrapped", "function", "limits")

    def __init__(self, function: Function, limits: Limits = DEFAULT_LIMITS, *, tupled: bool = False) -> None:
        self.function, self.limits = function, limits
        types = tuple([param.type for param in function.params])
        self._single = len(types) == 1 and not tupled
        self._wrapped = len(types) == 1 and tupled
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

    def bare(self, data: bytes) -> bytes:
        """The arguments in one form whoever passed them: a single one bare. Raises `SerializationError`."""
        if not self._wrapped:
            return data
        layout = scan(data, self.limits)
        [only] = children_of(layout.data, layout.offsets[-1])
        return layout.subtree(only).standalone()

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


class ExactCodec(ImportCodec):
    """The same with values of the declared type `value` as whole CGRF buffers. Get one from `exact_codec`."""

    __slots__ = ("_codecs",)

    def __init__(self, function: Function, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(function, limits)
        self._codecs = [None if isinstance(p.type, Dynamic) else value_codec(p.type) for p in function.params]

    def decode_args(self, data: bytes, max_nodes: int = MAX_PLAIN_NODES) -> list[object]:
        """The arguments, those declared `value` as bytes. Raises as `ImportCodec.decode_args`."""
        layout = scan(data, self.limits)
        root = len(layout.offsets) - 1
        count = len(self._codecs)
        found: tuple[int, ...] = (root,)
        if not self._single:
            at = layout.offsets[root]
            found = children_of(layout.data, at) if layout.data[at] == _TUPLE else ()
        if len(found) != count:
            raise Fault(f"{count} parameters", f"{len(found)}").mismatch("params", self.function.name)
        trees = [layout.subtree(node) for node in found]
        return [
            tree.standalone() if codec is None else codec.decode(tree, max_nodes)
            for codec, tree in zip(self._codecs, trees, strict=True)
        ]

    def encode_result(self, plain: object) -> bytes:
        """The answer for the guest; for the declared result `value` the bytes of one."""
        if isinstance(self.function.result, Dynamic) and isinstance(plain, bytes):
            return value_codec(Dynamic()).check(plain).standalone()
        return super().encode_result(plain)


@lru_cache(maxsize=1024)
def exact_codec(function: Function) -> ExactCodec:
    """The codec of a host function that passes values on as they are."""
    return ExactCodec(function)


@lru_cache(maxsize=4096)
def tupled_import_codec(function: Function) -> ImportCodec:
    """The codec of a host function whose arguments always come as a tuple, compiled once per signature."""
    return ImportCodec(function, tupled=True)


@lru_cache(maxsize=4096)
def import_codec(function: Function) -> ImportCodec:
    """The codec of a host function, compiled once per signature."""
    return ImportCodec(function)
