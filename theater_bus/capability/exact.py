"""Values of the type `value` as they are, for capabilities that pass them on to others.

A method marked `@exact` gets its parameters of the type `value` as bytes and returns such a result as bytes: whole CGRF
buffers, with every type that a guest wrote. The functions here look into them and make them. A component has no such
values: what it passes arrives as `Loose`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from theater_bus.core.values.exact import (
    Loose,
    err_value,
    exact_value,
    ok_value,
    one_parameter,
    parameters,
    plain_value,
)

__all__ = ["Loose", "err_value", "exact", "exact_value", "ok_value", "one_parameter", "parameters", "plain_value"]

P = ParamSpec("P")
R = TypeVar("R")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a host function that takes and gives values of the type `value` as bytes."""
    function.__theater_exact__ = True  # type: ignore[attr-defined]
    return function
