"""CGRF, the binary encoding of Pack guests: `encode` and `decode` for dynamic values, `parse` without building them.

What is known by its declared type goes through the compiled codecs (`codec`) instead, which never build the values of
`model`. Source: pack-abi §1.
"""

from __future__ import annotations

from theater_bus.core.values.cgrf_decode import decode
from theater_bus.core.values.cgrf_encode import encode, encode_subtree
from theater_bus.core.values.nodes import DEFAULT_LIMITS, Limits
from theater_bus.core.values.scan import parse

__all__ = ["DEFAULT_LIMITS", "Limits", "decode", "encode", "encode_subtree", "parse"]
