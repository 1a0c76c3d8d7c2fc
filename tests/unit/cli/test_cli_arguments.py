"""JSON on the command line becomes plain values, or an error that says what to write."""

from __future__ import annotations

import math

import pytest

from theater_bus.cli.arguments import json_argument, parameters
from theater_bus.cli.command import UsageProblem


def test_each_word_is_one_parameter() -> None:
    assert parameters(["5", '"x"', "[1]", "null"], None) == [5, "x", [1], None]


def test_no_words_are_no_parameters() -> None:
    assert parameters([], None) is None


def test_an_object_gives_parameters_by_name() -> None:
    assert parameters([], '{"by": 5}') == {"by": 5}


@pytest.mark.parametrize(("words", "named"), [(["1"], '{"by": 5}'), ([], "[5]"), ([], "{")])
def test_what_cannot_be_both_or_is_no_object_is_refused(words: list[str], named: str) -> None:
    with pytest.raises(UsageProblem):
        parameters(words, named)


def test_bytes_and_odd_floats_have_a_form_in_json() -> None:
    assert json_argument('[{"$bytes": "AAE="}, {"a": {"$float": "-inf"}}]', "it") == [b"\x00\x01", {"a": -math.inf}]
    assert math.isnan(json_argument('{"$float": "nan"}', "it"))
    assert json_argument('{"$float": "seven"}', "it") == {"$float": "seven"}


@pytest.mark.parametrize("text", ["hello", "{", "", "NaN", '{"a":1,"a":2}', '{"$bytes": "?"}', "1 2", "\udc80"])
def test_what_is_no_json_is_a_usage_error_that_names_the_parameter(text: str) -> None:
    with pytest.raises(UsageProblem, match="parameter 1"):
        parameters([text], None)


def test_a_text_without_quotes_is_told_how_to_quote() -> None:
    with pytest.raises(UsageProblem) as caught:
        parameters(["hello"], None)
    assert """'"hello"'""" in caught.value.fix


def test_an_option_that_is_none_is_told_so() -> None:
    with pytest.raises(UsageProblem) as caught:
        parameters(["5", "--as"], None)
    assert caught.value.fix == "there is no option --as; see `theater-bus call --help`"
