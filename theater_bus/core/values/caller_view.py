"""What an export looks like to who calls it: without the state, which the host puts in and takes out.

Invariants: two functions with the same view take the same parameters and give the same answers; the view of a function
without state is the function. Source: pack-abi §5 (what an actor function answers).
"""

from __future__ import annotations

from dataclasses import replace

from theater_bus.core.values.types import Dynamic, Function, ResultOf, TupleOf, Type

__all__ = ["caller_view"]


def caller_view(function: Function, stateful: bool) -> Function:
    """The function as an interface for its callers declares it: `func(state: S, a: u8) -> result<tuple<S, u8>, E>` is
    `func(a: u8) -> result<u8, E>` to them.
    """
    if not stateful:
        return function
    params, result = function.params[1:], function.result
    if not isinstance(result, ResultOf):
        answer: Type = Dynamic() if result is None or isinstance(result, Dynamic) else TupleOf(())
        return replace(function, params=params, result=answer)
    return replace(function, params=params, result=ResultOf(_answer(result.ok, function.params[0].type), result.err))


def _answer(ok: Type | None, state: Type) -> Type | None:
    """What is left of an ok behind the state; None where nothing is."""
    if isinstance(ok, Dynamic):
        return ok
    if not isinstance(ok, TupleOf):
        return None
    rest = ok.items[1:] if ok.items and ok.items[0] == state else ok.items
    if not rest:
        return None
    return rest[0] if len(rest) == 1 else TupleOf(rest)
