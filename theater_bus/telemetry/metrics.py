"""Accumulators that a call may feed on the event loop."""

from __future__ import annotations

__all__ = ["FunctionMeter"]


class FunctionMeter:
    """The accumulators of one function."""

    __slots__ = ()
