"""The values that the conformance suite calls with: of the declared types, and few enough."""

import pytest

from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import Function
from theater_bus.testing.suite.samples import CALLS_MOST, hostile_calls, ordinary

PACT = """
record point { x: s32, label: string }
variant shape { none, circle(f64), named(string) }
enum level { low, high }
flags access { read, write }

interface everything {
    @package: string = "test:all"
    exports {
        nothing: func()
        scalars: func(a: bool, b: u8, c: u64, d: s8, e: s64, f: f32, g: f64, h: char, i: string)
        lists: func(a: list<u8>, b: list<string>, c: list<list<u32>>)
        compound: func(a: point, b: shape, c: level, d: access, e: tuple<u8, string>, f: option<string>)
        results: func(a: result<u8, string>, b: result<_, string>)
        anything: func(a: value)
    }
}
"""
[INTERFACE] = parse(PACT).interfaces


@pytest.mark.parametrize("function", INTERFACE.functions, ids=lambda one: one.name)
def test_every_sample_is_a_value_of_its_type(function: Function) -> None:
    calls = [[ordinary(param.type) for param in function.params], *hostile_calls(function)]
    assert len(calls) <= CALLS_MOST + 1
    for args in calls:
        assert len(args) == len(function.params)
        for param, value in zip(function.params, args, strict=True):
            codec = value_codec(param.type)
            codec.check(codec.encode(value).standalone())


def test_every_parameter_gets_a_hostile_value() -> None:
    for function in INTERFACE.functions:
        usual = [ordinary(param.type) for param in function.params]
        calls = hostile_calls(function)
        for place in range(len(usual)):
            assert any(args[place] != usual[place] for args in calls), f"{function.name}, parameter {place}"


def test_hostile_calls_hold_what_nobody_sends_by_accident() -> None:
    function = next(one for one in INTERFACE.functions if one.name == "scalars")
    values = [value for args in hostile_calls(function) for value in args]
    for expected in (2**64 - 1, -(2**63), 0, False):
        assert expected in values
    texts = [args[-1] for args in hostile_calls(Function("f", function.params[-1:], None))]
    assert {"", "\0", "../../etc/passwd"} <= set(texts)
    assert max(map(len, texts)) >= 100_000
