"""Properties of CGRF and the codecs over random types, values and bytes."""

import json
import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theater_bus.core.values.cgrf import Limits, decode, encode, encode_subtree, parse
from theater_bus.core.values.codec import FunctionCodec, value_codec
from theater_bus.core.values.codec_decode import compile_decoder
from theater_bus.core.values.codec_reader import Form
from theater_bus.core.values.mismatch import Fault
from theater_bus.core.values.model import (
    ArrayValue,
    FloatValue,
    Kind,
    ListValue,
    OptionValue,
    RecordValue,
    ResultValue,
    ScalarValue,
    Tag,
    TupleValue,
    VariantValue,
    list_of,
    tag_of,
)
from theater_bus.core.values.scan import scan
from theater_bus.core.values.subtree import HEADER
from theater_bus.core.values.text import format_value, parse_value
from theater_bus.core.values.types import (
    Case,
    Dynamic,
    Field,
    Flags,
    Function,
    ListOf,
    OptionOf,
    Param,
    Record,
    ResultOf,
    Scalar,
    SelfRef,
    TupleOf,
    Unit,
    Variant,
)
from theater_bus.errors import ActorError, SerializationError, TypeMismatch

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))

BITS = {Scalar.U8: 8, Scalar.U16: 16, Scalar.U32: 32, Scalar.U64: 64}
SIGNED = {Scalar.S8: 8, Scalar.S16: 16, Scalar.S32: 32, Scalar.S64: 64}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
names = st.sampled_from(["a", "read-only", "b_c", "Name", "x1"])
chars = st.characters(exclude_categories=["Cs"])


def floats(width):
    return st.floats(width=width, allow_nan=False) | st.just(float("nan"))


def records(types):
    fields = st.lists(st.tuples(names, types), max_size=3, unique_by=lambda field: field[0])
    return fields.map(lambda found: Record("rec", tuple(Field(*field) for field in found)))


def variants(types):
    cases = st.lists(st.tuples(names, st.none() | types), min_size=1, max_size=3, unique_by=lambda case: case[0])
    return cases.map(lambda found: Variant("var", tuple(Case(*case) for case in found)))


CONS = Record("cons", (Field("head", Scalar.S64), Field("tail", OptionOf(SelfRef()))))
TREE = Variant(
    "tree",
    (Case("leaf", Scalar.STRING), Case("node", ListOf(SelfRef())), Case("pair", TupleOf((SelfRef(), Scalar.U8)))),
)
DYNAMIC = Dynamic()
leaf_types = st.sampled_from(
    [*Scalar, Unit(), Dynamic(), Flags("f", ("r", "w", "x")), Flags("bare", ()), ListOf(Scalar.U8), CONS, TREE]
)
types = st.recursive(
    leaf_types,
    lambda inner: (
        st.builds(ListOf, inner)
        | st.builds(OptionOf, inner)
        | st.builds(ResultOf, st.none() | inner, st.none() | inner)
        | st.lists(inner, max_size=3).map(lambda items: TupleOf(tuple(items)))
        | records(inner)
        | variants(inner)
    ),
    max_leaves=5,
)
dynamic_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats(64) | texts | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def plain_of_scalar(type_):
    if type_ in BITS:
        return st.integers(0, 2 ** BITS[type_] - 1)
    if type_ in SIGNED:
        return st.integers(-(2 ** (SIGNED[type_] - 1)), 2 ** (SIGNED[type_] - 1) - 1)
    return {
        Scalar.BOOL: st.booleans(),
        Scalar.F32: floats(32),
        Scalar.F64: floats(64),
        Scalar.CHAR: chars,
        Scalar.STRING: texts,
    }[type_]


def plain_for(type_, self_type=None, depth=0):
    """Plain values of a type, exactly as its decoder gives them."""
    match type_:
        case Scalar():
            return plain_of_scalar(type_)
        case SelfRef():
            return plain_for(self_type, depth=depth + 1)
        case Dynamic():
            return dynamic_plain
        case Unit():
            return st.none()
        case Flags():
            return (
                st.lists(st.sampled_from(type_.names), unique=True).map(
                    lambda found: [name for name in type_.names if name in found]
                )
                if type_.names
                else st.integers(0, 2**64 - 1)
            )
        case ListOf(Scalar.U8):
            return st.binary(max_size=5)
        case ListOf(element):
            if depth > 3:
                return st.just([])
            return st.lists(plain_for(element, self_type, depth), max_size=3)
        case OptionOf(inner):
            if depth > 3:
                return st.none()
            some = plain_for(inner, self_type, depth)
            nested = isinstance(inner, OptionOf | Unit | Dynamic)
            return st.none() | (some.map(lambda value: {"some": value}) if nested else some)
        case ResultOf(ok, err):
            return plain_for(ok or Unit(), self_type, depth).map(lambda v: {"ok": v}) | plain_for(
                err or Unit(), self_type, depth
            ).map(lambda v: {"err": v})
        case TupleOf(items):
            return st.tuples(*[plain_for(item, self_type, depth) for item in items]).map(list)
        case Record():
            return st.fixed_dictionaries({f.name: plain_for(f.type, type_, depth) for f in type_.fields})
        case Variant():
            cases = type_.cases[:1] if depth > 3 else type_.cases
            return st.one_of(
                [
                    st.just(case.name)
                    if case.payload is None
                    else plain_for(case.payload, type_, depth).map(lambda v, name=case.name: {name: v})
                    for case in cases
                ]
            )


typed_plain = types.flatmap(lambda type_: st.tuples(st.just(type_), plain_for(type_)))


def same(plain):
    """What two equal plain values have in common: fields in any order, NaN is NaN, -0.0 is not 0.0, 1 is not 1.0."""
    if isinstance(plain, dict):
        return sorted((key, same(item)) for key, item in plain.items())
    return [same(item) for item in plain] if isinstance(plain, list) else repr(plain)


@given(typed_plain)
@MANY
def test_plain_values_of_any_type_survive_cgrf_and_json(pair):
    type_, plain = pair
    codec = value_codec(type_)
    subtree = codec.encode(plain)
    assert same(codec.decode(subtree)) == same(plain)
    data = subtree.standalone()
    assert codec.check(data) == subtree
    assert parse(data) == subtree
    assert encode(decode(data)) == data
    dumped = json.dumps(codec.decode_json(subtree), allow_nan=False)
    assert codec.encode_json(json.loads(dumped)) == subtree


@given(types.filter(lambda t: "Dynamic" not in repr(t)).flatmap(lambda t: st.tuples(st.just(t), plain_for(t))))
@FEW
def test_json_with_64_bit_integers_as_strings_survives_too(pair):
    type_, plain = pair
    codec = value_codec(type_)
    subtree = codec.encode(plain)
    dumped = json.dumps(codec.decode_json(subtree, int64="string"), allow_nan=False)
    assert codec.encode_json(json.loads(dumped)) == subtree


fixed_kinds = st.sampled_from(
    [Kind.U8, Kind.U16, Kind.U32, Kind.U64, Kind.S8, Kind.S16, Kind.S32, Kind.S64, Kind.FLAGS]
)
tags = st.recursive(
    st.sampled_from([Tag(k) for k in Kind if k not in (7, 8, 9, 10, 11, 0x14, 0x15)])
    | texts.map(lambda name: Tag(Kind.RECORD, name=name))
    | texts.map(lambda name: Tag(Kind.VARIANT, name=name)),
    lambda inner: (
        inner.map(lambda t: Tag(Kind.LIST, (t,)))
        | inner.map(lambda t: Tag(Kind.OPTION, (t,)))
        | st.tuples(inner, inner).map(lambda pair: Tag(Kind.RESULT, pair))
        | st.lists(inner, max_size=3).map(lambda found: Tag(Kind.TUPLE, tuple(found)))
    ),
    max_leaves=3,
)
scalars = (
    st.booleans().map(lambda v: ScalarValue(Kind.BOOL, v))
    | st.integers(0, 127).flatmap(lambda v: fixed_kinds.map(lambda k: ScalarValue(k, v)))
    | chars.map(lambda v: ScalarValue(Kind.CHAR, v))
    | texts.map(lambda v: ScalarValue(Kind.STRING, v))
    | st.integers(0, 2**32 - 1).map(lambda bits: FloatValue(Kind.F32, bits))
    | st.integers(0, 2**64 - 1).map(lambda bits: FloatValue(Kind.F64, bits))
    | st.binary(max_size=5).map(lambda raw: ArrayValue(Kind.U8, raw))
    | st.lists(chars, max_size=3).map(lambda found: ArrayValue(Kind.CHAR, "".join(found).encode("utf-32-le")))
)
plain_tags = tags.filter(lambda tag: tag.kind in (6, 7, 8, 9, 10, 11, 0x14))
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda found: TupleValue(tuple(found)))
        | st.tuples(plain_tags, st.lists(inner, max_size=3)).map(lambda p: ListValue(p[0], tuple(p[1])))
        | st.tuples(tags, st.none() | inner).map(lambda p: OptionValue(*p))
        | st.tuples(tags, tags, st.booleans(), inner).map(lambda p: ResultValue(*p))
        | st.tuples(texts, st.lists(st.tuples(texts, inner), max_size=3)).map(lambda p: RecordValue(p[0], tuple(p[1])))
        | st.tuples(texts, texts, st.integers(0, 2**32 - 1), st.lists(inner, max_size=3)).map(
            lambda p: VariantValue(p[0], p[1], p[2], tuple(p[3]))
        )
    ),
    max_leaves=8,
)


@given(values)
@MANY
def test_any_value_survives_encoding_with_tags_names_and_nan_bits(value):
    data = encode(value)
    assert decode(data) == value
    assert parse(data) == encode_subtree(value)


def nodes_of(data):
    """The nodes of a canonical buffer, each with its child indices apart."""
    subtree = parse(data)
    layout = scan(data)
    ends = [*layout.offsets[1:], len(data)]
    found = []
    for begin, end in zip(layout.offsets, ends, strict=True):
        fixups = [at for at in layout.fixups if begin <= at < end]
        children = [struct.unpack_from("<I", data, at)[0] for at in fixups]
        found.append((data[begin : end - 4 * len(children)], children))
    assert len(found) == subtree.count
    return found


def write_nodes(found, order, root, flags=0):
    """The same nodes in another order: `order[i]` is the old index of new node i."""
    place = {old: new for new, old in enumerate(order)}
    body = b"".join(
        found[old][0] + b"".join(struct.pack("<I", place[child]) for child in found[old][1]) for old in order
    )
    return HEADER.pack(b"CGRF", 2, flags, len(order), place[root]) + body


@given(values, st.randoms(use_true_random=False), st.integers(0, 65535))
@FEW
def test_any_order_of_nodes_is_accepted_and_made_canonical(value, random, flags):
    data = encode(value)
    found = nodes_of(data)
    order = list(range(len(found)))
    random.shuffle(order)
    shuffled = write_nodes(found, order, len(found) - 1, flags)
    assert decode(shuffled) == value
    assert parse(shuffled).standalone() == data
    extra = write_nodes([*found, (b"\x0c\0\0\0\1\0\0\0\7", [])], [len(found), *order], len(found) - 1)
    assert parse(extra).standalone() == data


mutations = st.lists(
    st.tuples(st.sampled_from("sid"), st.integers(0, 400), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3
)


def mutated(data, steps):
    for action, place, raw in steps:
        place %= len(data) + 1
        if action == "s":
            data = data[:place] + raw + data[place + len(raw) :]
        elif action == "i":
            data = data[:place] + raw + data[place:]
        else:
            data = data[:place] + data[place + len(raw) :]
    return data


def attempt(read, *args):
    try:
        return read(*args)
    except ActorError as error:
        return type(error), error.message


@given(values, mutations)
@MANY
def test_mutated_buffers_decode_or_raise_the_one_error_and_both_readers_agree(value, steps):
    data = mutated(encode(value), steps)
    found, parsed = attempt(decode, data), attempt(parse, data)
    if isinstance(found, tuple):
        assert found[0] is SerializationError
        assert parsed == found
    else:
        assert parsed == encode_subtree(found)
        assert decode(parsed.standalone()) == found


@given(st.binary(max_size=200))
@FEW
def test_random_bytes_behind_a_header_do_nothing_but_decode_or_raise_the_one_error(raw):
    for data in (raw, HEADER.pack(b"CGRF", 2, 0, 1, 0) + raw, HEADER.pack(b"CGRF", 2, 0, 3, 2) + raw):
        found = attempt(decode, data)
        assert not isinstance(found, tuple) or found[0] is SerializationError
        assert isinstance(attempt(parse, data), tuple) is isinstance(found, tuple)


@given(typed_plain, types, mutations)
@MANY
def test_checker_and_decoder_of_any_type_accept_the_same_buffers(pair, other, steps):
    type_, plain = pair
    data = value_codec(type_).encode(plain).standalone()
    for buffer in (data, mutated(data, steps)):
        for wanted in (type_, other):
            codec, subtree = value_codec(wanted), attempt(parse, buffer)
            checked = attempt(codec.check, buffer)
            if isinstance(subtree, tuple):
                assert checked[0] is SerializationError
                continue
            read = attempt(codec.decode, subtree)
            if isinstance(checked, tuple):
                assert checked[0] is TypeMismatch
                assert read == checked
                continue
            assert not (isinstance(read, tuple) and read[0] is TypeMismatch)
            again = codec.encode(read)
            assert same(codec.decode(again)) == same(read)


def function(params, result, *, state=DYNAMIC):
    named = [Param("state", state), *[Param(f"p{i}", type_) for i, type_ in enumerate(params)]]
    return Function("fn", tuple(named), result)


several_plain = st.lists(typed_plain, max_size=3)


@given(values, several_plain, st.booleans())
@MANY
def test_spliced_input_is_the_tuple_of_state_and_parameters(state, pairs, foreign):
    codec = FunctionCodec(function([type_ for type_, _ in pairs], None), True)
    params = codec.encode_params([plain for _, plain in pairs])
    if foreign:
        params = codec.check_params(params.standalone)
    expected = tuple(decode(value_codec(type_).encode(plain).standalone()) for type_, plain in pairs)
    assert decode(params.standalone) == TupleValue(expected)
    data = codec.call_input(encode_subtree(state), params)
    assert decode(data) == TupleValue((state, *expected))
    assert parse(data).standalone() == data
    stateless = FunctionCodec(Function("fn", codec.function.params[1:], None), False)
    assert stateless.encode_params([plain for _, plain in pairs]).standalone == params.standalone


leaves = st.sampled_from([*Scalar, *[ListOf(s) for s in Scalar if s is not Scalar.STRING]])


def answer(state, value, tag=True):
    ok = Tag(Kind.TUPLE, (Tag(Kind.BOOL), Tag(Kind.BOOL) if tag else tag_of(value)))
    return encode(ResultValue(ok, Tag(Kind.STRING), True, TupleValue((state, value))))


@given(st.data(), leaves, leaves, mutations, st.booleans())
@MANY
def test_learned_frame_equals_the_general_reader_on_accepted_and_refused_outputs(data, state, value, steps, tag):
    declared = function([], ResultOf(TupleOf((state, value)), Scalar.STRING), state=state)
    general, learned = FunctionCodec(declared, True), FunctionCodec(declared, True)

    def draw():
        pair = [value_codec(t).encode(data.draw(plain_for(t))).standalone() for t in (state, value)]
        return answer(decode(pair[0]), decode(pair[1]), tag)

    def outcome(codec, buffer):
        found = attempt(codec.decode_result, buffer)
        if isinstance(found, tuple):
            return found
        return found.ok, found.state, found.value, repr(found.plain())

    first, second = draw(), draw()
    outcome(learned, first)
    assert learned._frame is not None
    for buffer in (first, second, mutated(second, steps), mutated(first, steps[:1])):
        frame = learned._frame
        general._frame = None
        assert outcome(learned, buffer) == outcome(general, buffer)
        learned._frame = frame


@given(values)
@FEW
def test_literal_text_is_stable_and_loses_only_what_it_says(value):
    text = format_value(value)
    again = parse_value(text)
    assert format_value(again) == text


@given(st.text("()[]<>{}:,'\"\\ablistumnoe08f32.-", max_size=30))
@MANY
def test_random_literals_parse_or_raise_the_one_error(text):
    found = attempt(parse_value, text)
    if isinstance(found, tuple):
        assert found[0] is SerializationError


@given(values)
@FEW
def test_undeclared_values_have_a_plain_form_in_every_form(value):
    subtree = encode_subtree(value)
    codec = value_codec(Dynamic())
    json.dumps(codec.decode_json(subtree), allow_nan=False)
    json.dumps(codec.decode_json(subtree, int64="string"), allow_nan=False)
    again = codec.encode(codec.decode(subtree))
    assert parse(again.standalone()) == again


@given(dynamic_plain)
@FEW
def test_inferred_values_come_back_as_they_were(plain):
    codec = value_codec(Dynamic())
    assert same(codec.decode(codec.encode(plain))) == same(plain)


@given(values, st.integers(1, 12), st.integers(1, 40))
@FEW
def test_limits_are_kept_by_both_readers_alike(value, max_values, max_depth):
    data = encode(value)
    limits = Limits(max_values=max_values, max_depth=max_depth)
    found, parsed = attempt(decode, data, limits), attempt(parse, data, limits)
    assert isinstance(found, tuple) is isinstance(parsed, tuple)


def test_faults_never_leave_the_codecs():
    assert not issubclass(Fault, ActorError)
    assert compile_decoder(CONS, Form.PLAIN) is compile_decoder(CONS, Form.PLAIN)
    assert list_of(Tag(Kind.U8), ()) == ArrayValue(Kind.U8, b"")
