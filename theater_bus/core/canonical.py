"""The one byte form of a plain value, for digests.

Invariants: equal values have equal bytes, whatever the order in which a map was written; maps are in the order of
their keys (by code point), integers and lengths as short as msgpack allows, tuples are arrays. Numbers of different
kinds differ: 1 is not 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgpack

from theater_bus.core.setting import Plain

__all__ = ["canonical"]

_pack: Callable[[Plain], bytes] = msgpack.Packer(autoreset=True).pack  # type: ignore[attr-defined, no-untyped-call]


def canonical(value: Plain) -> bytes:
    """The canonical msgpack of a plain value with text keys."""
    return _pack(_sorted(value))


def _sorted(value: Plain) -> Plain:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value
