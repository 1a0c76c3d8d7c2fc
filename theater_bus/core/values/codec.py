"""Compiled codecs: everything that host and plugins need to turn bytes into values and back, by declared type.

`value_codec` for one value, `function_codec` for an export of a guest, `import_codec` for a host function. All are
compiled once per type and then shared; the contract check is part of the conversion.
"""

from __future__ import annotations

from theater_bus.core.values.codec_function import FunctionCodec, function_codec
from theater_bus.core.values.codec_import import (
    ExactCodec,
    ImportCodec,
    exact_codec,
    import_codec,
    tupled_import_codec,
)
from theater_bus.core.values.codec_outcome import Outcome
from theater_bus.core.values.codec_params import NO_STATE, Params
from theater_bus.core.values.codec_value import MAX_PLAIN_NODES, Int64, ValueCodec, value_codec
from theater_bus.core.values.plain import Err, Ok

__all__ = [
    "MAX_PLAIN_NODES",
    "NO_STATE",
    "Err",
    "ExactCodec",
    "FunctionCodec",
    "ImportCodec",
    "Int64",
    "Ok",
    "Outcome",
    "Params",
    "ValueCodec",
    "exact_codec",
    "function_codec",
    "import_codec",
    "tupled_import_codec",
    "value_codec",
]
