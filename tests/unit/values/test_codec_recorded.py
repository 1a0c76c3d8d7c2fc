"""What an answer read back from the chain is: read by the declared type, and as what it is where that does not fit."""

import pytest

from theater_bus.core.values.cgrf import encode
from theater_bus.core.values.codec_recorded import recorded_outcome
from theater_bus.core.values.model import UNIT, ArrayValue, Kind, RecordValue, ScalarValue, TupleValue
from theater_bus.core.values.types import Field, Function, ListOf, Param, Record, ResultOf, Scalar, TupleOf
from theater_bus.errors import SerializationError

U8, U64, STRING = Scalar.U8, Scalar.U64, Scalar.STRING
ITEM = Record("item", (Field("name", STRING),))
TEA = RecordValue("", (("name", ScalarValue(Kind.STRING, "tea")),))
WORD, NUMBER = ScalarValue(Kind.STRING, "word"), ScalarValue(Kind.U64, 7)
BYTES = ArrayValue(Kind.U8, b"raw")


def read(result, value, *, stateful=True, ok=True):
    outcome = recorded_outcome(Function("f", (Param("state", U64),), result), stateful, encode(value), ok)
    assert outcome.ok is ok
    assert outcome.state is None
    return outcome.plain()


@pytest.mark.parametrize(
    ("ok_type", "value", "plain"),
    [
        (TupleOf((U64, ITEM)), TEA, {"name": "tea"}),
        (TupleOf((U64, ListOf(U8))), BYTES, b"raw"),
        (TupleOf((U64, STRING, U64)), TupleValue((WORD, NUMBER)), ["word", 7]),
        (TupleOf((U64,)), UNIT, None),
        (U64, UNIT, None),
        (None, UNIT, None),
    ],
    ids=["one item", "bytes", "two items", "state only", "bare state", "nothing"],
)
def test_the_value_beside_the_state_is_read_by_its_declared_type(ok_type, value, plain):
    assert read(ResultOf(ok_type, STRING), value) == plain


@pytest.mark.parametrize(
    ("result", "value", "plain"),
    [
        (ResultOf(ITEM, STRING), TEA, {"name": "tea"}),
        (ResultOf(None, STRING), UNIT, None),
        (ITEM, TEA, {"name": "tea"}),
    ],
    ids=["ok", "ok of nothing", "no result"],
)
def test_without_state_the_whole_answer_is_the_value(result, value, plain):
    assert read(result, value, stateful=False) == plain


@pytest.mark.parametrize(("declared", "value", "plain"), [(ITEM, TEA, {"name": "tea"}), (None, UNIT, None)])
def test_an_err_is_read_by_its_own_type(declared, value, plain):
    result = ResultOf(TupleOf((U64, STRING)), declared)
    assert read(result, value, ok=False) == read(result, value, ok=False, stateful=False) == plain


@pytest.mark.parametrize("result", [None, STRING])
def test_where_the_declaration_does_not_say_the_value_is_read_as_what_it_is(result):
    assert read(result, NUMBER) == 7
    assert read(None, WORD, stateful=False) == "word"


def test_a_value_that_breaks_the_declaration_is_read_as_what_it_is():
    assert read(ResultOf(TupleOf((U64, STRING)), STRING), NUMBER) == 7


def test_bytes_that_are_no_value_are_refused():
    with pytest.raises(SerializationError):
        recorded_outcome(Function("f", (), STRING), False, b"no cgrf", True)
