"""The codec of one function: parameters, the guest's input, what its output means, and host functions."""

import json
from pathlib import Path

import pytest

from theater_bus.core.values.cgrf import decode, encode, encode_subtree
from theater_bus.core.values.codec import NO_STATE, FunctionCodec, function_codec, import_codec, value_codec
from theater_bus.core.values.codec_frame import frame_learner
from theater_bus.core.values.codec_outcome import Outcome
from theater_bus.core.values.model import (
    UNIT,
    ArrayValue,
    Kind,
    ListValue,
    OptionValue,
    RecordValue,
    ResultValue,
    ScalarValue,
    Tag,
    TupleValue,
    VariantValue,
)
from theater_bus.core.values.nodes import DEFAULT_LIMITS, Limits
from theater_bus.core.values.scan import scan
from theater_bus.core.values.types import (
    Dynamic,
    Field,
    Function,
    ListOf,
    OptionOf,
    Param,
    Record,
    ResultOf,
    Scalar,
    TupleOf,
    Unit,
)
from theater_bus.errors import SerializationError, TooLarge, TypeMismatch

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
U8, U32, U64, STRING = Scalar.U8, Scalar.U32, Scalar.U64, Scalar.STRING
BYTES, ANY = ListOf(U8), Dynamic()
ITEM = Record("item", (Field("name", STRING), Field("amount", U32)))
ORDER = Function(
    "order",
    (Param("state", U64), Param("items", ListOf(ITEM)), Param("dry-run", OptionOf(Scalar.BOOL))),
    ResultOf(TupleOf((U64, STRING)), STRING),
)
PLAIN = [[{"name": "tea", "amount": 2}], None]


def u64(number):
    return ScalarValue(Kind.U64, number)


def text(value):
    return ScalarValue(Kind.STRING, value)


def ok(value):
    return ResultValue(Tag(Kind.TUPLE, (Tag(Kind.BOOL), Tag(Kind.BOOL))), Tag(Kind.STRING), True, value)


def err(value):
    return ResultValue(Tag(Kind.BOOL), Tag(Kind.STRING), False, value)


def pair(*items):
    return TupleValue(items)


def read(result, output, *, state=ANY, stateful=True):
    params = (Param("state", state),) if stateful else ()
    codec = FunctionCodec(Function("fn", params, result), stateful)
    outcome = codec.decode_result(encode(output))
    again = codec.decode_result(encode(output))
    assert (again.ok, again.state, again.value) == (outcome.ok, outcome.state, outcome.value)
    return outcome


def state_of(outcome):
    return None if outcome.state is None else decode(outcome.state.standalone())


def test_parameters_come_in_order_or_by_name_and_never_include_the_state():
    codec = function_codec(ORDER, True)
    assert codec is function_codec(ORDER, True)
    assert codec.param_names == ("items", "dry-run")
    ordered = codec.encode_params(PLAIN)
    for spelled in (tuple(PLAIN), {"items": PLAIN[0], "dry-run": None}, {"Items": PLAIN[0], "dry_run": None}):
        assert codec.encode_params(spelled).standalone == ordered.standalone
    assert codec.check_params(ordered.standalone).roots == ordered.roots
    assert ordered.standalone is ordered.standalone
    as_json = codec.encode_params([[{"name": "tea", "amount": 2}], None], json=True)
    assert as_json.standalone == ordered.standalone


@pytest.mark.parametrize(
    ("params", "path", "saying"),
    [
        (None, "params", r"2 parameters \(items, dry-run\), found 0 parameters"),
        ([[]], "params", "found 1 parameter"),
        ([[], None, 3], "params", "found 3 parameters"),
        (5, "params", "found int 5"),
        ("ab", "params", "found str 'ab'"),
        ({"items": []}, "params", "no field dry-run"),
        (
            {"items": [], "dry-run": None, "state": 1},
            "params",
            "fields items, dry-run, found the unknown field str 'state'",
        ),
        ([[{"name": "a", "amount": 1}, {"name": 7, "amount": 1}], None], "params.items[1].name", "found int 7"),
        ([[], 1], "params.dry-run", "must be bool, found int 1"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_with_function_and_path(params, path, saying):
    codec = function_codec(ORDER, True)
    with pytest.raises(TypeMismatch, match=saying) as refused:
        codec.encode_params(params)
    assert refused.value.details["path"] == path
    assert refused.value.message.startswith("order: params")
    assert refused.value.ran == "never"


def test_a_named_parameter_of_a_function_without_any_is_refused() -> None:
    codec = function_codec(Function("ping", (), None), False)
    with pytest.raises(
        TypeMismatch, match="ping: params must be a map of parameters without fields, found the unknown"
    ):
        codec.encode_params({"a": 1})


@pytest.mark.parametrize(
    ("value", "path", "saying"),
    [
        (u64(1), "params", "found u64"),
        (pair(), "params", "found 0 parameters"),
        (pair(UNIT, UNIT, UNIT), "params", "found 3 parameters"),
        (pair(UNIT, UNIT), "params.items", "must be list, found tuple"),
        (
            pair(ListValue(Tag(Kind.STRING), ()), OptionValue(Tag(Kind.U8), u64(1))),
            "params.dry-run",
            "must be bool, found u64",
        ),
    ],
)
def test_foreign_cgrf_parameters_are_checked_without_building_values(value, path, saying):
    with pytest.raises(TypeMismatch, match=saying) as refused:
        function_codec(ORDER, True).check_params(encode(value))
    assert refused.value.details["path"] == path
    with pytest.raises(SerializationError):
        function_codec(ORDER, True).check_params(encode(value)[:-1])


def test_foreign_cgrf_parameters_are_recorded_as_they_came():
    codec = function_codec(Function("f", (Param("a", U8),), None), False)
    canonical = codec.encode_params([7])
    foreign = bytearray(canonical.standalone)
    foreign[6] = 1
    foreign[16 + 1] = 9
    params = codec.check_params(bytes(foreign))
    assert params.standalone == bytes(foreign)
    assert params.plain_input() == canonical.plain_input()


def test_functions_without_parameters_take_none_empty_list_and_empty_map():
    codec = function_codec(Function("f", (Param("state", U64),), None), True)
    unit = encode(UNIT)
    for params in (None, [], (), {}):
        assert codec.encode_params(params).standalone == unit
    assert codec.check_params(unit).standalone == unit
    assert decode(codec.call_input(None, codec.check_params(unit))) == pair(decode(NO_STATE.standalone()))
    with pytest.raises(TypeMismatch, match="no parameters, found 1 parameter"):
        codec.encode_params([1])


def test_input_of_an_actor_function_is_state_then_parameters_with_indices_moved():
    codec = function_codec(ORDER, True)
    params = codec.encode_params(PLAIN)
    state = RecordValue("s", (("a", u64(1)), ("b", pair(u64(2), UNIT))))
    data = codec.call_input(encode_subtree(state), params)
    assert decode(data) == pair(state, *decode(params.standalone).items)
    assert encode(decode(data)) == data
    recorded = next(v for v in VECTORS["values"] if v["id"] == "host/theater-default-init-input")
    init = function_codec(Function("init", (Param("state", ANY),), None), True)
    assert init.call_input(None, init.encode_params(None)).hex() == recorded["hex"]


@pytest.mark.parametrize(
    ("types", "plain", "value"),
    [
        ((), [], UNIT),
        ((U64,), [5], u64(5)),
        ((TupleOf((U64,)),), [[5]], pair(pair(u64(5)))),
        ((ANY,), [{"$cgrf": encode(pair(u64(5)))}], pair(pair(u64(5)))),
        ((TupleOf((U64, U64)),), [[5, 6]], pair(u64(5), u64(6))),
        ((ListOf(STRING),), [["a"]], ListValue(Tag(Kind.STRING), (text("a"),))),
        ((U64, STRING), [5, "x"], pair(u64(5), text("x"))),
    ],
)
def test_input_of_a_function_without_state_is_bare_where_every_generation_takes_it(types, plain, value):
    named = tuple([Param(f"p{i}", type_) for i, type_ in enumerate(types)])
    codec = function_codec(Function("f", named, None), False)
    params = codec.encode_params(plain)
    assert codec.call_input(None, params) == params.plain_input() == encode(value)
    checked = codec.check_params(params.standalone)
    assert checked.plain_input() == params.plain_input()


def test_stateful_function_needs_a_parameter_for_its_state():
    with pytest.raises(ValueError, match="no parameter that could be its state"):
        function_codec(Function("f", (), None), True)


PAIR = ResultOf(TupleOf((U64, STRING)), STRING)
STATE_ONLY = ResultOf(TupleOf((U64,)), STRING)
MANY = ResultOf(TupleOf((ITEM, STRING, ListOf(STRING), U64)), STRING)
TEA = RecordValue("item", (("name", text("tea")), ("amount", ScalarValue(Kind.U32, 2))))
STRINGS = ListValue(Tag(Kind.STRING), (text("a"), text("b")))
LEGACY = VariantValue("result", "ok", 0, (pair(u64(8), text("x")),))


@pytest.mark.parametrize(
    ("result", "output", "state", "plain"),
    [
        (PAIR, ok(pair(u64(8), text("x"))), u64(8), "x"),
        (PAIR, LEGACY, u64(8), "x"),
        (STATE_ONLY, ok(pair(u64(8))), u64(8), None),
        (STATE_ONLY, ok(u64(8)), u64(8), None),
        (MANY, ok(pair(TEA, text("x"), STRINGS, u64(3))), TEA, ["x", ["a", "b"], 3]),
        (ResultOf(TupleOf((ITEM, ITEM)), STRING), ok(pair(TEA, TEA)), TEA, {"name": "tea", "amount": 2}),
        (ResultOf(TupleOf((U64, Unit())), STRING), ok(pair(u64(8), UNIT)), u64(8), None),
        (ResultOf(TupleOf((U64, TupleOf((U64,)))), STRING), ok(pair(u64(8), pair(u64(9)))), u64(8), [9]),
        (ResultOf(U64, STRING), ok(u64(8)), u64(8), None),
        (ResultOf(None, STRING), ok(UNIT), UNIT, None),
        (ResultOf(ANY, STRING), ok(pair(u64(8), text("x"), u64(9))), u64(8), ["x", 9]),
        (ResultOf(ANY, STRING), ok(pair(u64(8), text("x"))), u64(8), "x"),
        (ResultOf(ANY, STRING), ok(pair(u64(8))), u64(8), None),
        (ResultOf(ANY, STRING), ok(u64(8)), u64(8), None),
        (ResultOf(ANY, STRING), ok(UNIT), UNIT, None),
        (ANY, ok(pair(u64(8), text("x"))), u64(8), "x"),
        (None, ok(pair(u64(8), text("x"))), u64(8), "x"),
        (None, LEGACY, u64(8), "x"),
        (None, u64(8), u64(8), None),
        (None, pair(u64(8), u64(9)), pair(u64(8), u64(9)), None),
        (None, VariantValue("state", "a", 0), VariantValue("state", "a", 0), None),
        (None, VariantValue("state", "b", 7, (u64(1),)), VariantValue("state", "b", 7, (u64(1),)), None),
        (U64, u64(8), u64(8), None),
        (TupleOf((U64, U64)), pair(u64(8), u64(9)), pair(u64(8), u64(9)), None),
    ],
)
def test_ok_of_an_actor_function_is_state_and_value_by_the_documented_table(result, output, state, plain):
    outcome = read(result, output)
    assert outcome.ok
    assert outcome.error is None
    assert outcome.text == ""
    assert state_of(outcome) == state
    assert outcome.plain() == plain
    assert encode(decode(outcome.cgrf())) == outcome.cgrf()
    assert encode(decode(outcome.state.standalone())) == outcome.state.standalone()


RESPONSE = ResultOf(TupleOf((OptionOf(BYTES),)), STRING)
EMPTY = ArrayValue(Kind.U8, b"")
UNITS = ListValue(Tag(Kind.STRING), (UNIT,))
NONE = OptionValue(Tag(Kind.STRING), None)


@pytest.mark.parametrize(
    ("result", "output", "state", "plain"),
    [
        (RESPONSE, ok(pair(u64(8), pair(NONE))), u64(8), [None]),
        (RESPONSE, ok(pair(u64(8), NONE)), u64(8), None),
        (RESPONSE, ok(pair(OptionValue(Tag(Kind.U8), ArrayValue(Kind.U8, b"x")))), None, None),
        (ResultOf(TupleOf(()), STRING), ok(pair(u64(8), UNIT)), u64(8), []),
        (ResultOf(TupleOf(()), STRING), ok(pair(u64(8))), u64(8), None),
        (
            ResultOf(TupleOf((U32, STRING)), STRING),
            ok(pair(u64(8), ScalarValue(Kind.U32, 1), text("x"))),
            u64(8),
            [1, "x"],
        ),
    ],
)
def test_declarations_that_forget_the_state_slot_are_understood(result, output, state, plain):
    outcome = read(result, output)
    assert state is None or state_of(outcome) == state
    assert outcome.plain() == plain


def test_empty_ok_of_a_declaration_without_state_slot_is_the_new_state():
    outcome = read(ResultOf(TupleOf(()), STRING), ok(UNIT))
    assert state_of(outcome) == UNIT
    assert outcome.plain() is None
    with pytest.raises(TypeMismatch, match="must be u64, found tuple"):
        read(ResultOf(TupleOf(()), STRING), ok(UNIT), state=U64)


@pytest.mark.parametrize(
    ("result", "output", "path", "saying"),
    [
        (PAIR, u64(8), "result", "must be result, found u64"),
        (PAIR, ok(u64(8)), "result.ok", "must be tuple of 2, found u64"),
        (PAIR, ok(pair(u64(8))), "result.ok", "must be tuple of 2, found tuple of 1"),
        (PAIR, ok(pair(text("x"), text("x"))), "result.ok[0]", "must be u64, found string"),
        (PAIR, ok(pair(u64(8), u64(9))), "result.ok[1]", "must be string, found u64"),
        (PAIR, err(u64(8)), "result.err", "must be string, found u64"),
        (
            MANY,
            ok(pair(TEA, text("x"), UNITS, u64(3))),
            "result.ok[2][0]",
            "found tuple",
        ),
        (STATE_ONLY, ok(text("x")), "result.ok", "must be u64, found string"),
        (ResultOf(U64, STRING), ok(text("x")), "result.ok", "must be u64"),
        (U64, text("x"), "result", "must be u64, found string"),
        (RESPONSE, ok(pair(text("s"), NONE)), "result.ok[0]", "must be u64, found string"),
        (RESPONSE, ok(pair(u64(8), pair(text("x")))), "result.ok[1][0]", "must be option, found string"),
        (RESPONSE, ok(pair(u64(8), text("x"))), "result.ok[1]", "must be option, found string"),
        (RESPONSE, ok(pair(u64(8), NONE, NONE)), "result.ok", "tuple of state and 1, found tuple of 3"),
    ],
)
def test_output_of_a_wrong_type_is_refused_naming_function_path_and_declared_type(result, output, path, saying):
    with pytest.raises(TypeMismatch, match=saying) as refused:
        read(result, output, state=U64)
    assert refused.value.details["path"] == path
    assert refused.value.message.startswith("fn: result")
    assert "; declared is " in refused.value.message
    assert refused.value.details["declared"] in refused.value.message


def test_output_that_is_no_cgrf_is_a_serialization_error():
    with pytest.raises(SerializationError):
        function_codec(ORDER, True).decode_result(b"garbage")


@pytest.mark.parametrize("result", [PAIR, ANY, None, ResultOf(ANY, ANY)])
def test_err_is_the_guests_own_answer_and_leaves_the_state_alone(result):
    for output in (err(text("no")), VariantValue("result", "err", 1, (text("no"),))):
        outcome = read(result, output)
        assert not outcome.ok
        assert outcome.state is None
        assert outcome.error == outcome.plain() == outcome.text == "no"


def test_err_that_is_no_text_is_shown_as_a_literal():
    outcome = read(ResultOf(U64, ANY), err(pair(u64(1), text("x"))))
    assert outcome.text == '(1u64, "x")'
    assert outcome.error == [1, "x"]
    assert read(ResultOf(U64, None), err(UNIT)).error is None


@pytest.mark.parametrize(
    ("result", "output", "good", "plain"),
    [
        (ResultOf(U64, STRING), ok(u64(8)), True, 8),
        (ResultOf(U64, STRING), err(text("no")), False, "no"),
        (ResultOf(None, STRING), ok(UNIT), True, None),
        (U64, u64(8), True, 8),
        (ANY, err(text("x")), True, {"err": "x"}),
        (None, UNIT, True, None),
        (TupleOf((U64, U64)), pair(u64(1), u64(2)), True, [1, 2]),
    ],
)
def test_function_without_state_has_only_a_value_or_an_err(result, output, good, plain):
    outcome = read(result, output, stateful=False)
    assert outcome.ok is good
    assert outcome.state is None
    assert outcome.plain() == plain


def test_outcome_in_json_and_with_a_node_limit():
    outcome = read(
        ResultOf(TupleOf((U64, ListOf(U64), BYTES)), STRING),
        ok(pair(u64(1), ArrayValue(Kind.U64, bytes(8)), ArrayValue(Kind.U8, b"\1"))),
    )
    assert outcome.json() == [[0], {"$bytes": "AQ=="}]
    assert outcome.json(int64="string") == [["0"], {"$bytes": "AQ=="}]
    for form in (outcome.plain, outcome.json):
        with pytest.raises(TooLarge):
            form(max_nodes=2)


@pytest.mark.parametrize("call", [c for c in VECTORS["calls"] if c.get("status") == 0], ids=lambda c: c["export"])
def test_recorded_calls_of_real_guests_are_made_and_understood(call):
    stateful = "my:app/counter" in call["export"] or call["output"]["t"] == "result"
    value = decode(bytes.fromhex(call["input_hex"]))
    items = value.items if isinstance(value, TupleValue) else (value,)
    params = tuple([Param(f"p{i}", ANY) for i in range(len(items))])
    codec = FunctionCodec(Function(call["export"], params, None), stateful)
    plain = [{"$cgrf": encode(item)} for item in items[stateful:]]
    state = encode_subtree(items[0]) if stateful else None
    assert codec.call_input(state, codec.encode_params(plain)).hex() == call["input_hex"]
    outcome = codec.decode_result(bytes.fromhex(call["output_hex"]))
    assert outcome.ok
    if stateful:
        first, *rest = decode(bytes.fromhex(call["output_hex"])).value.items
        assert state_of(outcome) == first
        assert [decode(outcome.cgrf())] == rest
    else:
        assert outcome.cgrf().hex() == call["output_hex"]


def test_frame_is_only_learned_where_state_and_value_are_single_nodes():
    learns = [TupleOf((U64, STRING)), TupleOf((STRING, BYTES)), TupleOf((ListOf(U64), Scalar.CHAR))]
    for pair_type in learns:
        assert frame_learner(ResultOf(pair_type, STRING), DEFAULT_LIMITS) is not None
    others = [ANY, TupleOf((U64,)), TupleOf((U64, ITEM)), TupleOf((ITEM, U64)), TupleOf((U64, ListOf(STRING))), None]
    for other in others:
        assert frame_learner(ResultOf(other, STRING), DEFAULT_LIMITS) is None
    assert frame_learner(U64, DEFAULT_LIMITS) is None
    assert frame_learner(None, DEFAULT_LIMITS) is None


def test_frame_is_not_learned_from_errs_and_from_bytes_that_had_to_be_rewritten():
    codec = FunctionCodec(Function("f", (Param("s", U64),), PAIR), True)
    codec.decode_result(encode(err(text("no"))))
    assert codec._frame is None
    rewritten = bytearray(encode(ok(pair(u64(8), text("x")))))
    rewritten[17] = 1
    assert codec.decode_result(bytes(rewritten)).plain() == "x"
    assert codec._frame is None
    empty = FunctionCodec(Function("f", (Param("s", BYTES),), ResultOf(TupleOf((BYTES, U64)), STRING)), True)
    assert empty.decode_result(encode(ok(pair(ArrayValue(Kind.S32, b""), u64(1))))).plain() == 1
    assert empty._frame is None
    swapped = FunctionCodec(Function("f", (Param("s", U64),), ResultOf(TupleOf((U64, BYTES)), STRING)), True)
    assert swapped.decode_result(encode(ok(pair(u64(1), ArrayValue(Kind.S32, b""))))).plain() == b""
    assert swapped._frame is None
    codec.decode_result(encode(ok(pair(u64(8), text("x")))))
    learned = codec._frame
    assert learned is not None
    codec.decode_result(encode(err(text("no"))))
    assert codec._frame is learned


@pytest.mark.parametrize(
    ("types", "first", "later"),
    [
        ((U64, STRING), (u64(1), text("abc")), [text(""), text("é" * 99), u64(2), text("x")]),
        ((STRING, U64), (text("abc"), u64(1)), [u64(2), text("x")]),
        ((Scalar.BOOL, Scalar.CHAR), (ScalarValue(Kind.BOOL, True), ScalarValue(Kind.CHAR, "c")), [u64(2)]),
        ((ListOf(Scalar.BOOL), ListOf(Scalar.CHAR)), (ArrayValue(Kind.BOOL, b"\1"), ArrayValue(Kind.CHAR, b"")), []),
    ],
)
def test_learned_frame_reads_other_lengths_and_leaves_the_rest_to_the_general_reader(types, first, later):
    declared = Function("f", (Param("s", types[0]),), ResultOf(TupleOf(types), STRING))
    learned, general = FunctionCodec(declared, True), FunctionCodec(declared, True)
    learned.decode_result(encode(ok(pair(*first))))
    assert learned._frame is not None

    def attempt(codec, data):
        try:
            found = codec.decode_result(data)
        except (TypeMismatch, SerializationError) as error:
            return error.message
        return found.ok, found.state, found.value

    outputs = [encode(ok(pair(*first))), *[encode(ok(pair(first[0], value))) for value in later]]
    outputs += [encode(ok(pair(value, first[1]))) for value in later]
    whole = outputs[0]
    outputs += [whole[:cut] + whole[cut + 1 :] for cut in range(len(whole))]
    outputs += [whole[:cut] + bytes((whole[cut] ^ 0xFF,)) + whole[cut + 1 :] for cut in range(len(whole))]
    outputs += [whole[:cut] + b"\2" + whole[cut + 1 :] for cut in range(len(whole))]
    value_ends = scan(whole).offsets[2]
    outputs += [whole[:cut] + whole[value_ends:] for cut in range(16, value_ends)]
    outputs += [whole[:16] + whole[-60:], whole[:20] + whole[-40:], b"", whole * 2]
    frame = learned._frame
    for output in outputs:
        learned._frame, general._frame = frame, None
        assert attempt(learned, output) == attempt(general, output)


def test_learned_frame_keeps_the_size_limit():
    declared = Function("f", (Param("s", U64),), ResultOf(TupleOf((U64, BYTES)), STRING))
    for types in ((U64, BYTES), (STRING, BYTES)):
        declared = Function("f", (Param("s", types[0]),), ResultOf(TupleOf(types), STRING))
        codec = FunctionCodec(declared, True, Limits(max_bytes=200))
        state = u64(1) if types[0] is U64 else text("s")
        codec.decode_result(encode(ok(pair(state, ArrayValue(Kind.U8, b"x")))))
        assert codec._frame is not None
        with pytest.raises(SerializationError, match="over the limit of 200"):
            codec.decode_result(encode(ok(pair(state, ArrayValue(Kind.U8, b"x" * 200)))))


@pytest.mark.parametrize(
    ("params", "argument", "plain"),
    [
        ((), UNIT, []),
        ((STRING,), text("hi"), ["hi"]),
        ((ListOf(U64),), ArrayValue(Kind.U64, bytes(8)), [[0]]),
        ((TupleOf((STRING, U64)),), pair(text("k"), u64(1)), [["k", 1]]),
        ((STRING, BYTES), pair(text("k"), ArrayValue(Kind.U8, b"v")), ["k", b"v"]),
        ((Unit(),), UNIT, [None]),
    ],
)
def test_host_function_gets_its_arguments_as_guests_pack_them(params, argument, plain):
    function = Function("put", tuple([Param(f"p{i}", type_) for i, type_ in enumerate(params)]), None)
    codec = import_codec(function)
    assert codec is import_codec(function)
    assert codec.decode_args(encode(argument)) == plain


@pytest.mark.parametrize("call", VECTORS["host_calls"], ids=lambda c: c["name"])
def test_recorded_host_calls_of_real_guests_are_understood(call):
    value = decode(bytes.fromhex(call["arg_hex"]))
    items = value.items if isinstance(value, TupleValue) else (value,)
    codec = import_codec(Function(call["name"], tuple([Param(f"p{i}", ANY) for i in range(len(items))]), None))
    assert len(codec.decode_args(bytes.fromhex(call["arg_hex"]))) == len(items)


@pytest.mark.parametrize(
    ("params", "argument", "path", "saying"),
    [
        ((), u64(1), "params", "must be tuple of 0, found u64"),
        ((STRING,), u64(1), "params.p0", "must be string, found u64"),
        ((STRING,), pair(text("x")), "params.p0", "must be string, found tuple"),
        ((STRING, U64), u64(1), "params", "must be tuple of 2, found u64"),
        (
            (STRING, ListOf(STRING)),
            pair(text("x"), UNITS),
            "params.p1[0]",
            "found tuple",
        ),
    ],
)
def test_host_function_refuses_arguments_of_another_type_with_the_path(params, argument, path, saying):
    function = Function("put", tuple([Param(f"p{i}", type_) for i, type_ in enumerate(params)]), None)
    with pytest.raises(TypeMismatch, match=saying) as refused:
        import_codec(function).decode_args(encode(argument))
    assert refused.value.details["path"] == path
    with pytest.raises(SerializationError):
        import_codec(function).decode_args(b"")


def test_host_function_answers_with_canonical_bytes_of_its_declared_type():
    assert import_codec(Function("log", (), None)).encode_result(None) == encode(UNIT)
    codec = import_codec(Function("get", (), ResultOf(None, STRING)))
    declared = value_codec(ResultOf(None, STRING))
    for plain in ({"ok": None}, {"err": "no"}):
        assert codec.encode_result(plain) == declared.encode(plain).standalone()
    with pytest.raises(TypeMismatch, match=r"get: result\.err must be string, found int 5"):
        codec.encode_result({"err": 5})
    wide = import_codec(Function("f", (Param("a", ListOf(STRING)),), None))
    with pytest.raises(TooLarge):
        wide.decode_args(value_codec(ListOf(STRING)).encode(["x"] * 5).standalone(), max_nodes=5)


def test_outcome_holds_exactly_what_it_was_given():
    value = value_codec(U64).encode(7)
    outcome = Outcome(True, None, value, value_codec(U64))
    assert (outcome.ok, outcome.state, outcome.value, outcome.plain()) == (True, None, value, 7)
