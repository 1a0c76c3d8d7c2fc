"""Metadata blobs: those of real guests, and those that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.cgrf import encode
from theater_bus.core.values.metadata import PackageMetadata, emit_metadata, parse_metadata
from theater_bus.core.values.model import (
    UNIT,
    ArrayValue,
    Kind,
    ListValue,
    OptionValue,
    RecordValue,
    ScalarValue,
    Tag,
    TupleValue,
    Value,
    VariantValue,
)
from theater_bus.core.values.pact import parse
from theater_bus.core.values.pact_format import format_type
from theater_bus.core.values.types import (
    Dynamic,
    Function,
    Interface,
    Param,
    Record,
    ResultOf,
    Scalar,
    SelfRef,
    Type,
    Unit,
    Variant,
)
from theater_bus.errors import SpawnRefused

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "values" / "vectors.json").read_text(encoding="utf-8")
)["metadata"]
NO_HASHES = "echo_package@e5cad0d.wasm"


def shown(type: Type) -> str:
    """A type as the vectors write it: records and variants with their members."""
    if isinstance(type, Record):
        return f"record {type.name}{{{', '.join(f'{f.name}: {shown(f.type)}' for f in type.fields)}}}"
    if isinstance(type, Variant):
        cases = (c.name if c.payload is None else f"{c.name}({shown(c.payload)})" for c in type.cases)
        return f"variant {type.name}{{{', '.join(cases)}}}"
    inner = getattr(type, "element", None) or getattr(type, "inner", None)
    if inner is not None:
        return f"{format_type(type).split('<')[0]}<{shown(inner)}>"
    if hasattr(type, "items"):
        return f"tuple<{', '.join(map(shown, type.items))}>"
    if isinstance(type, ResultOf):
        assert type.ok is not None
        assert type.err is not None
        return f"result<{shown(type.ok)}, {shown(type.err)}>"
    return format_type(type)


def summary(interfaces: tuple[Interface, ...]) -> list[dict[str, Any]]:
    return [
        {
            "interface": interface.name,
            "name": function.name,
            "params": [[param.name, shown(param.type)] for param in function.params],
            "results": [] if function.result is None else [shown(function.result)],
        }
        for interface in interfaces
        for function in interface.functions
    ]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["module"])
def test_metadata_of_real_guests_is_understood(vector: dict[str, Any]) -> None:
    found = parse_metadata(bytes.fromhex(vector["hex"]))
    assert summary(found.imports) == vector["imports"]
    assert summary(found.exports) == vector["exports"]
    assert found.problems == ()
    assert found.declared_hashes == (vector["module"] != NO_HASHES)
    if found.declared_hashes:
        assert {name: digest.hex() for name, digest in found.import_hashes.items()} == vector["import-hashes"]
        assert {name: digest.hex() for name, digest in found.export_hashes.items()} == vector["export-hashes"]


@pytest.mark.parametrize(
    "vector", [one for one in VECTORS if one["module"] != NO_HASHES], ids=lambda vector: vector["module"]
)
def test_metadata_of_real_guests_is_regenerated_byte_for_byte(vector: dict[str, Any]) -> None:
    blob = bytes.fromhex(vector["hex"])
    found = parse_metadata(blob)
    assert emit_metadata(found.imports, found.exports) == blob


def test_what_guests_cannot_describe_is_emitted_as_they_do() -> None:
    function = Function("f", (Param("a", SelfRef()), Param("b", Unit())), ResultOf(None, None))
    found = parse_metadata(emit_metadata((), (Interface("x", (function,)),)))
    expected = Function("f", (Param("a", Dynamic()), Param("b", Unit())), ResultOf(Scalar.BOOL, Scalar.STRING))
    assert found.exports == (Interface("x", (expected,)),)
    assert found.problems == ()


def test_interfaces_of_one_name_are_emitted_as_one_and_empty_ones_not_at_all() -> None:
    f, g = Function("f", (), None), Function("g", (), None)
    blob = emit_metadata((Interface("unused", ()),), (Interface("x", (f,)), Interface("", (g,)), Interface("x", (g,))))
    found = parse_metadata(blob)
    assert found.imports == ()
    assert found.exports == (Interface("x", (f, g)), Interface("", (g,)))
    assert found.problems == ()
    assert found.export("x") == Interface("x", (f, g))
    assert found.export("y") is None


def text(value: str) -> Value:
    return ScalarValue(Kind.STRING, value)


def record(**fields: Value) -> Value:
    return RecordValue("Whatever", tuple((name.rstrip("_").replace("_", "-"), value) for name, value in fields.items()))


def listed(*items: Value) -> Value:
    return ListValue(Tag(Kind.RECORD), items)


def described(tag: int, *payload: Value) -> Value:
    return VariantValue("Type", f"tag{tag}", tag, payload)


def signature(type: Value, **more: Value) -> Value:
    fields: dict[str, Value] = {
        "interface": text("x"),
        "name": text("f"),
        "params": listed(record(name=text("a"), type=type)),
        "results": listed(),
    }
    return record(**{**fields, **more})


def package(*exports: Value, **more: Value) -> PackageMetadata:
    return parse_metadata(encode(record(imports=listed(), exports=listed(*exports), **more)))


def param(type: Value) -> Type:
    return package(signature(type)).exports[0].functions[0].params[0].type


def test_hashes_are_computed_for_packages_without_hash_lists() -> None:
    found = package(signature(described(1)))
    assert not found.declared_hashes
    expected = parse("interface x { exports { f: func(a: u8) } }").exports
    assert found.exports == expected
    assert found.export_hashes == parse_metadata(emit_metadata((), expected)).export_hashes


def test_hashes_may_be_bytes_and_names_may_be_spelt_otherwise() -> None:
    digest = parse_metadata(emit_metadata((), parse("interface x { exports { f: func(a: u8) } }").exports))
    entry = record(name=text("x"), hash=ArrayValue(Kind.U8, digest.export_hashes["x"]), more=UNIT)
    value = RecordValue(
        "PackageMetadata",
        (
            ("imports", ArrayValue(Kind.S32, b"")),
            ("exports", listed(signature(described(1)))),
            ("export_hashes", listed(entry)),
            ("exports", UNIT),
        ),
    )
    found = parse_metadata(encode(value))
    assert found.declared_hashes
    assert found.problems == ()


def test_type_parameters_are_any_value_and_named() -> None:
    found = package(
        signature(described(18, record(name=text("s")))),
        type_params=listed(record(name=text("s"), constraint=text(""))),
    )
    assert found.exports[0].functions[0].params[0].type == Dynamic()
    assert found.type_params == ("s",)


def test_a_function_without_interface_field_is_in_the_unnamed_one() -> None:
    bare = RecordValue("f", (("name", text("f")), ("params", listed()), ("results", listed())))
    assert package(bare).exports == (Interface("", (Function("f", (), None),)),)


def lie(change: Callable[[dict[str, Value]], None]) -> tuple[str, ...]:
    words = tuple(ScalarValue(Kind.U64, word) for word in (1, 2, 3, 4))
    fields = {"x": record(name=text("x"), hash=TupleValue(words))}
    change(fields)
    return package(signature(described(1)), export_hashes=listed(*fields.values())).problems


def test_hash_lists_that_disagree_with_the_declarations_are_problems() -> None:
    (wrong,) = lie(lambda fields: None)
    assert "export hash of interface `x` is declared as 0100000000000000" in wrong
    (missing,) = lie(lambda fields: fields.clear())
    assert "export hash of interface `x` is missing" in missing
    extra, _ = lie(lambda fields: fields.update(y=record(name=text(""), hash=ArrayValue(Kind.U8, bytes(32)))))
    assert "the functions without interface: the metadata declares no export of it" in extra


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "cannot be read"),
        (b"CGRF", "cannot be read"),
        (encode(UNIT), "a record is expected"),
        (encode(record(imports=listed())), "there is no field `exports`"),
        (encode(record(exports=listed())), "there is no field `imports`"),
        (encode(record(imports=UNIT, exports=text("x"))), "exports: a list is expected"),
        (encode(record(imports=UNIT, exports=ArrayValue(Kind.U8, b"x"))), "exports: a list is expected"),
    ],
)
def test_a_blob_that_is_no_metadata_is_refused(blob: bytes, message: str) -> None:
    with pytest.raises(SpawnRefused, match="the package's metadata") as caught:
        parse_metadata(blob)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (text("u8"), "exports[0].params[0].type: a type description is expected"),
        (described(22), "exports[0].params[0].type: there is no type with the number 22"),
        (described(14), "the description of a composed type has one payload"),
        (described(16, record(ok=described(0))), "there is no field `err`"),
        (described(17, record(name=text("r"), fields=listed(UNIT))), "type.fields[0]: a record is expected"),
        (described(18, record(name=described(0), cases=listed())), "type.name: a string is expected"),
        (described(18, record(name=text("v"), cases=listed(record(payload=UNIT, name=text("c"))))), "an option is"),
        (described(19, UNIT, UNIT), "has one payload"),
    ],
)
def test_a_type_that_is_not_understood_is_refused_with_its_path(bad: Value, message: str) -> None:
    with pytest.raises(SpawnRefused) as caught:
        param(bad)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"results": listed(described(1), described(1))}, "exports[0]: there are 2 results"),
        ({"name": UNIT}, "exports[0].name: a string is expected"),
        ({"name": ScalarValue(Kind.U8, 1)}, "exports[0].name: a string is expected"),
    ],
)
def test_a_signature_that_is_not_understood_is_refused(more: dict[str, Value], message: str) -> None:
    with pytest.raises(SpawnRefused) as caught:
        package(signature(described(1), **more))
    assert message in caught.value.message


@pytest.mark.parametrize(
    "digest",
    [ArrayValue(Kind.U8, bytes(31)), TupleValue((ScalarValue(Kind.U64, 1),)), TupleValue((UNIT,) * 4)],
)
def test_a_hash_that_is_none_is_refused(digest: Value) -> None:
    with pytest.raises(SpawnRefused, match="a hash is four u64, or 32 bytes"):
        package(export_hashes=listed(record(name=text("x"), hash=digest)))


def test_every_description_is_told_by_its_number_alone() -> None:
    leaves = [param(described(number)) for number in range(13)]
    assert leaves == list(Scalar)
    payload = OptionValue(Tag(Kind.U8), described(1))
    variant = param(described(18, record(name=text("v"), cases=listed(record(name=text("c"), payload=payload)))))
    assert shown(variant) == "variant v{c(u8)}"
    assert shown(param(described(19, listed(described(1), described(21))))) == "tuple<u8, _>"
