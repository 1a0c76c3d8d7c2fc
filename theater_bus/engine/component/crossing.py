"""Between the CGRF that the host keeps and the values that a component takes and gives, for one function.

Parameters are one tuple, whatever their number; a result is the value itself, the empty tuple where there is none.

Invariants: what goes to C is of the declared type, whatever the bytes say; what comes from C is canonical CGRF; memory
of wasmtime's is freed as soon as it was read.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from theater_bus.core.values.codec_decode import compile_decoder
from theater_bus.core.values.codec_encode import compile_encoder
from theater_bus.core.values.codec_reader import Form
from theater_bus.core.values.mismatch import Fault
from theater_bus.core.values.nodes import Fixes, Out, assemble
from theater_bus.core.values.scan import scan
from theater_bus.core.values.types import TupleOf, Unit
from theater_bus.engine import ffi
from theater_bus.engine import ffi_component as native
from theater_bus.engine.component import cargo
from theater_bus.engine.component.bridge import arguments_base
from theater_bus.engine.component.passage import Passage
from theater_bus.engine.component.world import Endpoint
from theater_bus.engine.ffi_component import VALUE_BYTES

__all__ = ["Crossing"]

_NOTHING: Final = b"CGRF\2\0\0\0\1\0\0\0\0\0\0\0\x0b\0\0\0\4\0\0\0\0\0\0\0"
"""The empty tuple, as a complete buffer."""


class Crossing:
    """The conversions of one import or export, compiled once and shared by all instances."""

    __slots__ = (
        "_base",
        "_decode_params",
        "_decode_result",
        "_encode_params",
        "_encode_result",
        "_gives",
        "_head",
        "_lifts",
        "_lowers",
        "_sends",
        "arguments",
        "bridge",
        "endpoint",
        "name",
        "results",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.name = endpoint, endpoint.name
        params = TupleOf(tuple(shape.type for shape in endpoint.params))
        result = Unit() if endpoint.result is None else endpoint.result.type
        self.results = 0 if endpoint.result is None else 1
        self.bridge = endpoint.bridge
        self._sends = self.bridge is not None and self.bridge.sends
        self._gives = self.bridge is not None and self.bridge.gives
        self._base = 0 if self.bridge is None else arguments_base(self.bridge)
        self._head = 0 if self.bridge is None else len(self.bridge.head)
        self.arguments = self._head + len(endpoint.params)
        self._lifts = [shape.lift for shape in endpoint.params]
        self._lowers = [shape.lower for shape in endpoint.params]
        self._decode_params = compile_decoder(params, Form.PLAIN)
        self._encode_params = compile_encoder(params, False)
        self._decode_result = compile_decoder(result, Form.PLAIN)
        self._encode_result = compile_encoder(result, False)

    # -- an export is called -------------------------------------------------------------------------------------

    def lower_params(self, data: bytes, passage: Passage) -> Any:
        """The parameter tuple as an array of values for C; what it points to lives as long as `passage`.

        Raises `TypeMismatch` for what is of another type.
        """
        layout = scan(data)
        try:
            plain: Any = self._decode_params(layout.data, layout.offsets, len(layout.offsets) - 1)
        except Fault as fault:
            raise fault.mismatch("params", self.name) from None
        passage.base = self._base
        raw = b"".join([lower(value, passage) for lower, value in zip(self._lowers, plain, strict=True)])
        if self._sends:
            raw = cargo.lower_cargo(passage) + raw
        return ctypes.create_string_buffer(raw, len(raw) or 1)

    def lift_result(self, results: Any, passage: Passage) -> bytes:
        """The result that C wrote, as a complete buffer; its memory is freed. Raises `TooMuch`."""
        shape = self.endpoint.result
        if shape is None:
            return _NOTHING
        try:
            value = cargo.lift_answer(results, shape, passage) if self._gives else shape.lift(results, 0, passage)
        finally:
            native.delete_value(ctypes.addressof(results))
        return _buffer(self._encode_result, value)

    # -- the guest calls an import -------------------------------------------------------------------------------

    def lift_params(self, args: int, passage: Passage) -> bytes:
        """The arguments at address `args`, as a complete buffer with their tuple. Raises `TooMuch`."""
        if not self.arguments:
            return _NOTHING
        memory = ffi.memory_at(args, self.arguments * VALUE_BYTES)
        if self._sends:
            cargo.arrive(memory, 0, passage)
        if self._gives:
            passage.base = cargo.base_of(memory, (self._head - 1) * VALUE_BYTES)
        values = [lift(memory, place * VALUE_BYTES, passage) for place, lift in enumerate(self._lifts, self._head)]
        return _buffer(self._encode_params, values)

    def lower_result(self, answer: bytes, results: int, passage: Passage) -> None:
        """Write an answer to address `results`, into memory that wasmtime owns. Raises `Fault` for a wrong type."""
        shape = self.endpoint.result
        if shape is None:
            return
        layout = scan(answer)
        try:
            value = self._decode_result(layout.data, layout.offsets, len(layout.offsets) - 1)
            lowered = shape.lower(value, passage)
            if self._gives:
                lowered = cargo.lower_answer(lowered, passage)
            native.clone_value(ffi.address_of(lowered), results)
        finally:
            passage.release()


def _buffer(encode: Any, value: object) -> bytes:
    out: Out = []
    fix: Fixes = []
    encode(value, out, fix, 1)
    return assemble(out, fix).standalone()
