"""Rules of settings accept what they say and name what they do not."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.canonical import canonical
from theater_bus.core.setting import Choice, Plain, PlainValue, Rule, Switch, Text, Texts, Whole

HUGE = 10**5000
TOKEN = Text(r"[a-z]+", "lower-case letters")


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Whole(0, 5), 0),
        (Whole(0, 5), 5),
        (TOKEN, "abc"),
        (Choice(("a", "b")), "b"),
        (Choice(("a", "b"), ("c",)), "c"),
        (Switch(), False),
        (Texts(), []),
        (Texts(), ("a", "b")),
        (PlainValue(), {"a": [None, True, 1.5, "x", b"y", (1, 2)], "b": {"c": -(1 << 63), "d": (1 << 64) - 1}}),
    ],
)
def test_what_fits_is_accepted(rule: Rule, value: object) -> None:
    assert rule.check(value) is None


@pytest.mark.parametrize(
    ("rule", "value", "problem"),
    [
        (Whole(0, 5), 6, "is 6, outside 0 to 5"),
        (Whole(0, 5), True, "must be an integer, not a bool"),
        (Whole(0, 5), "1", "must be an integer, not a text"),
        pytest.param(Whole(0, 5), HUGE, "is an integer of thousands of digits, outside 0 to 5", id="huge"),
        (TOKEN, 1, "must be a text, not an integer"),
        (TOKEN, "ab\n", "is 'ab\\n', not lower-case letters"),
        (TOKEN, "x" * 30 + "!" * 100, "is '" + "x" * 30 + "!" * 26 + "..., not lower-case letters"),
        (Text(".*", "a text"), "\ud800", "holds half a surrogate pair"),
        (Choice(("a", "b")), ["a"], 'is [\'a\'], not one of "a", "b"'),
        (Choice(("a", "b"), ("c",)), "d", 'is \'d\', not one of "a", "b"'),
        (Switch(), 1, "must be true or false, not an integer"),
        (Texts(), "ab", "must be a list of texts, not a text"),
        (Texts(), ["a", ""], "must hold texts only, not ''"),
        (Texts(), ["a", 1], "must hold texts only, not 1"),
        (Texts(), ["a", "a"], "holds the same text twice"),
        (PlainValue(), 1 << 64, "holds an integer that needs more than 64 bits"),
        (PlainValue(), {"a": {"b": HUGE}}, "holds an integer at a.b that needs more than 64 bits"),
        (PlainValue(), {"a": [0, "\udfff"]}, "holds half a surrogate pair at a[1]"),
        (PlainValue(), {1: 2}, "has the key 1, which is no text"),
        (PlainValue(), {"a": {"\ud800": 2}}, "has the key '\\ud800' at a, which is no text"),
        (PlainValue(), [date(1979, 5, 27)], "holds a date at [0], which is no plain value. Fix: write it as a text"),
    ],
)
def test_what_does_not_fit_is_named(rule: Rule, value: object, problem: str) -> None:
    assert rule.check(value) == problem


def test_nesting_without_end_is_refused() -> None:
    nest: Plain = None
    for _ in range(1000):
        nest = [nest]
    assert PlainValue().check(nest) == "nests deeper than 64 levels"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Whole(1, 1000), "1 to 1,000"),
        (TOKEN, "lower-case letters"),
        (Choice(("a",)), '"a"'),
        (Switch(), "true or false"),
        (Texts(), "a list of texts"),
        (PlainValue(), "any plain value"),
    ],
)
def test_a_rule_says_itself_in_words(rule: Rule, words: str) -> None:
    assert rule.describe() == words


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers(0, 9))))
def test_the_canonical_form_does_not_depend_on_the_order_of_keys(value: dict[str, dict[str, int]]) -> None:
    turned = {key: dict(reversed(value[key].items())) for key in reversed(value)}
    assert canonical(turned) == canonical(value)


def test_the_canonical_form_tells_numbers_of_different_kinds_apart() -> None:
    assert len({canonical(1), canonical(1.0), canonical(True)}) == 3
    assert canonical((1, 2)) == canonical([1, 2])
