"""The codec of one function: parameters in, the guest's input, and what its output means.

Invariants: a codec is shared by all actors whose function has the same signature; the only thing it remembers is the
frame of the last output (`codec_frame`), which changes speed and never results.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from theater_bus.core.values.codec_check import compile_checker
from theater_bus.core.values.codec_encode import aligner, compile_encoder
from theater_bus.core.values.codec_frame import Frame, frame_learner
from theater_bus.core.values.codec_outcome import Outcome, outcome_reader
from theater_bus.core.values.codec_params import Params, call_input
from theater_bus.core.values.codec_scalar import Encoder
from theater_bus.core.values.mismatch import Fault, shown, wrong_node
from theater_bus.core.values.model import Kind
from theater_bus.core.values.nodes import DEFAULT_LIMITS, BoundedOut, Fixes, Limits, Out, assemble
from theater_bus.core.values.pact_format import format_type
from theater_bus.core.values.scan import Layout, children_of, scan
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.values.types import Function
from theater_bus.errors import TypeMismatch

__all__ = ["FunctionCodec", "function_codec"]

_TUPLE = int(Kind.TUPLE)
_NO_PARAMS = Params(b"", 0, (), ())


class FunctionCodec:
    """Converts and checks what goes into one export and comes out of it. Get one from `function_codec`.

    For a stateful function the first declared parameter is the state: callers never pass it, `call_input` puts it in.
    """

    __slots__ = (
        "_aligned",
        "_checkers",
        "_encoders",
        "_frame",
        "_json_encoders",
        "_learn",
        "_read",
        "function",
        "limits",
        "param_names",
        "stateful",
        "tupled",
    )

    def __init__(
        self, function: Function, stateful: bool, limits: Limits = DEFAULT_LIMITS, *, tupled: bool = False
    ) -> None:
        if stateful and not function.params:
            raise ValueError(f"{function.name} declares no parameter that could be its state")
        self.function, self.stateful, self.tupled, self.limits = function, stateful, tupled, limits
        params = function.params[stateful:]
        self.param_names = tuple([param.name for param in params])
        self._encoders = [compile_encoder(param.type, False) for param in params]
        self._json_encoders = [compile_encoder(param.type, True) for param in params]
        self._checkers = [compile_checker(param.type) for param in params]
        self._aligned = aligner(list(self.param_names), "a map of parameters")
        self._read = outcome_reader(function.result, function.params[0].type if stateful else None)
        self._learn = frame_learner(function.result, limits) if stateful else None
        self._frame: Frame | None = None

    def encode_params(self, params: object, json: bool = False, max_nodes: int | None = None) -> Params:
        """Parameters from plain values: in order, or a map by name (modulo case, `_` and `-`), or None for none.

        With `json`, values are read as a JSON parser gives them. Raises `TypeMismatch` with the path to the fault, and
        `TooLarge` before it has made many more than `max_nodes` nodes.
        """
        encoders = self._json_encoders if json else self._encoders
        try:
            if type(params) is not list or len(params) != len(encoders):
                params = self._positional(params)
            out: Out = [] if max_nodes is None else BoundedOut(max_nodes)
            return self._encode(encoders, params, out) if encoders else _NO_PARAMS
        except Fault as fault:
            raise fault.mismatch("params", self.function.name) from None

    def check_params(self, cgrf: bytes) -> Params:
        """Parameters from a foreign CGRF tuple, validated without building values; it is recorded as it is.

        Raises `SerializationError` for invalid bytes, `TypeMismatch` for missing, surplus or wrong parameters.
        """
        layout = scan(cgrf, self.limits)
        data, offsets, root = layout.data, layout.offsets, len(layout.offsets) - 1
        try:
            if data[offsets[root]] != _TUPLE:
                raise wrong_node(self._expected(), data, offsets[root])
            roots = children_of(data, offsets[root])
            if len(roots) != len(self._checkers):
                raise Fault(self._expected(), f"{len(roots)} parameters")
            self._check_each(layout, roots)
        except Fault as fault:
            raise fault.mismatch("params", self.function.name) from None
        if not root:
            return Params(b"", 0, (), (), cgrf)
        below = layout.cut(0, root, offsets[0], offsets[root])
        return Params(below.nodes, root, below.fixups, roots, cgrf)

    def call_input(self, state: Subtree | None, params: Params) -> bytes:
        """The guest's input: `[state, p1, …]` for a stateful function, else the parameters alone."""
        if self.stateful:
            return call_input(state, params)
        return params.standalone if self.tupled else params.plain_input()

    def decode_result(self, output: bytes) -> Outcome:
        """What the guest's output means, checked against the declared result.

        Raises `SerializationError` for bytes that are no CGRF, `TypeMismatch` naming function, path and declared type.
        """
        frame = self._frame
        if frame is not None:
            outcome = frame(output)
            if outcome is not None:
                return outcome
        layout = scan(output, self.limits)
        try:
            outcome = self._read(layout)
        except Fault as fault:
            raise self._wrong_result(fault) from None
        if self._learn is not None:
            self._frame = self._learn(output, layout, outcome) or frame
        return outcome

    def _encode(self, encoders: list[Encoder], params: list[object], out: Out) -> Params:
        fix: Fixes = []
        roots: list[int] = []
        try:
            for place, encode in enumerate(encoders):
                encode(params[place], out, fix, 2)
                roots.append(len(out) - 1)
        except Fault as fault:
            raise fault.under(f".{self.param_names[len(roots)]}") from None
        if not fix:
            return Params(out[0] if len(out) == 1 else b"".join(out), len(out), (), tuple(roots))
        subtree = assemble(out, fix)
        return Params(subtree.nodes, subtree.count, subtree.fixups, tuple(roots))

    def _check_each(self, layout: Layout, roots: tuple[int, ...]) -> None:
        place = 0
        try:
            for place in range(len(roots)):
                self._checkers[place](layout.data, layout.offsets, roots[place])
        except Fault as fault:
            raise fault.under(f".{self.param_names[place]}") from None

    def _positional(self, params: object) -> list[object]:
        names = self.param_names
        if params is None:
            params = []
        if isinstance(params, Mapping):
            found = self._aligned(dict(params))
            return [found[name] for name in names]
        if not isinstance(params, list | tuple):
            raise Fault(self._expected(), shown(params))
        if len(params) != len(names):
            raise Fault(self._expected(), _counted(len(params)))
        return list(params)

    def _expected(self) -> str:
        names = self.param_names
        return f"{_counted(len(names))} ({', '.join(names)})" if names else "no parameters"

    def _wrong_result(self, fault: Fault) -> TypeMismatch:
        result = self.function.result
        declared = "nothing" if result is None else format_type(result)
        error = fault.mismatch("result", self.function.name)
        return TypeMismatch(f"{error.message}; declared is {declared}", **error.details, declared=declared)


def _counted(count: int) -> str:
    return "1 parameter" if count == 1 else f"{count} parameters"


@lru_cache(maxsize=4096)
def function_codec(function: Function, stateful: bool, tupled: bool = False) -> FunctionCodec:
    """The codec of an export, compiled once per signature.

    A function that is `tupled` takes its parameters as one tuple also where there is only one, as components do.
    Raises `ValueError` for a stateful function without parameters.
    """
    return FunctionCodec(function, stateful, tupled=tupled)
