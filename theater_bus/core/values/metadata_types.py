"""Type descriptions in metadata, both ways, and the reader that finds its way through foreign records.

Invariants: a description is told by its case number, never by a name; what is not understood is refused with its path.
Source: the Pack ABI, "Embedded metadata", TYPE-DESC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from theater_bus.core.values.model import (
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
    fold_name,
)
from theater_bus.core.values.types import (
    Case,
    Dynamic,
    Field,
    Flags,
    ListOf,
    OptionOf,
    Record,
    ResultOf,
    Scalar,
    SelfRef,
    TupleOf,
    Type,
    Unit,
    Variant,
)

__all__ = ["ANY_RECORD", "Malformed", "Reader", "read_type", "write_type"]

ANY_RECORD = Tag(Kind.RECORD)
_ANY_VARIANT = Tag(Kind.VARIANT)
_SCALARS = tuple(Scalar)  # case numbers 0 to 12, in the order of their declaration


class Malformed(Exception):
    """Metadata that is not what it should be; the text starts with the path."""


class Reader:
    """A value somewhere in metadata, and the path that led to it."""

    __slots__ = ("path", "value")

    def __init__(self, value: Value, path: str = "") -> None:
        self.value, self.path = value, path

    def refuse(self, problem: str) -> NoReturn:
        """Raise `Malformed` for this place."""
        raise Malformed(f"{self.path}: {problem}" if self.path else problem)

    def record(self) -> dict[str, Reader]:
        """The fields of a record by folded name; of two with one name, the first."""
        if not isinstance(self.value, RecordValue):
            self.refuse("a record is expected")
        fields: dict[str, Reader] = {}
        for name, value in self.value.fields:
            fields.setdefault(fold_name(name), Reader(value, f"{self.path}.{name}".lstrip(".")))
        return fields

    def get(self, name: str) -> Reader:
        """One field of a record."""
        found = self.record().get(name)
        return found if found is not None else self.refuse(f"there is no field `{name}`")

    def items(self) -> list[Reader]:
        """The items of a list or tuple."""
        value = self.value
        if isinstance(value, ListValue | TupleValue):
            return [Reader(item, f"{self.path}[{number}]") for number, item in enumerate(value.items)]
        if isinstance(value, ArrayValue) and not len(value):
            return []  # old guests tag an empty list of records as one of integers
        return self.refuse("a list is expected")

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, ScalarValue) or not isinstance(self.value.value, str):
            self.refuse("a string is expected")
        return self.value.value

    def bytes(self) -> bytes | None:
        """The content of a `list<u8>`, or None for anything else."""
        return self.value.data if isinstance(self.value, ArrayValue) and self.value.elem is Kind.U8 else None


def read_type(reader: Reader) -> Type:
    """The type that a description stands for. Raises `Malformed`.

    Unbound type parameters, and `self`, which guests cannot describe, are `value`. Flags have no names.
    """
    described = reader.value
    if not isinstance(described, VariantValue):
        reader.refuse("a type description is expected")
    tag = described.tag
    if tag < len(_SCALARS):
        return _SCALARS[tag]
    if tag in _LEAVES:
        return _LEAVES[tag]
    read = _COMPOSED.get(tag)
    if read is None:
        reader.refuse(f"there is no type with the number {tag}")
    if len(described.payload) != 1:
        reader.refuse("the description of a composed type has one payload")
    return read(Reader(described.payload[0], reader.path))


def _read_result(reader: Reader) -> Type:
    return ResultOf(read_type(reader.get("ok")), read_type(reader.get("err")))


def _read_record(reader: Reader) -> Type:
    name = reader.get("name").text()
    fields = (Field(one.get("name").text(), read_type(one.get("type"))) for one in reader.get("fields").items())
    return Record(name, tuple(fields))


def _read_variant(reader: Reader) -> Type:
    fields = reader.record()
    name = reader.get("name").text()
    if "cases" not in fields:
        return Dynamic()  # a reference to a type parameter has the same number and only a name
    return Variant(name, tuple(_read_case(one) for one in fields["cases"].items()))


def _read_case(reader: Reader) -> Case:
    payload = reader.get("payload")
    if not isinstance(payload.value, OptionValue):
        payload.refuse("an option is expected")
    content = payload.value.value
    return Case(reader.get("name").text(), None if content is None else read_type(Reader(content, payload.path)))


_LEAVES: dict[int, Type] = {13: Flags("flags", ()), 20: Dynamic(), 21: Unit()}
_COMPOSED: dict[int, Callable[[Reader], Type]] = {
    14: lambda reader: ListOf(read_type(reader)),
    15: lambda reader: OptionOf(read_type(reader)),
    16: _read_result,
    17: _read_record,
    18: _read_variant,
    19: lambda reader: TupleOf(tuple(read_type(item) for item in reader.items())),
}


def write_type(type: Type) -> Value:
    """The description of a type. Guests have none for `_` in a result: like them, this writes bool or string."""
    if isinstance(type, Scalar):
        return _described(type.value, _SCALARS.index(type))
    if isinstance(type, ListOf):
        return _described("list", 14, write_type(type.element))
    if isinstance(type, OptionOf):
        return _described("option", 15, write_type(type.inner))
    if isinstance(type, ResultOf):
        sides = (("ok", write_type(type.ok or Scalar.BOOL)), ("err", write_type(type.err or Scalar.STRING)))
        return _described("result", 16, RecordValue("result-desc", sides))
    if isinstance(type, TupleOf):
        return _described("tuple", 19, ListValue(_ANY_VARIANT, tuple(write_type(item) for item in type.items)))
    if isinstance(type, Record):
        return _described("record", 17, _write_record(type))
    if isinstance(type, Variant):
        return _described("variant", 18, _write_variant(type))
    case, tag = {Flags: ("flags", 13), Dynamic: ("value", 20), SelfRef: ("value", 20), Unit: ("unit", 21)}[
        type.__class__
    ]
    return _described(case, tag)


def _described(case: str, tag: int, *payload: Value) -> Value:
    return VariantValue("type-desc", case, tag, payload)


def _text(text: str) -> Value:
    return ScalarValue(Kind.STRING, text)


def _write_record(type: Record) -> Value:
    fields = tuple(
        RecordValue("field-desc", (("name", _text(one.name)), ("type", write_type(one.type)))) for one in type.fields
    )
    return RecordValue("record-desc", (("name", _text(type.name)), ("fields", ListValue(ANY_RECORD, fields))))


def _write_variant(type: Variant) -> Value:
    cases = tuple(
        RecordValue(
            "case-desc",
            (
                ("name", _text(case.name)),
                ("payload", OptionValue(_ANY_VARIANT, None if case.payload is None else write_type(case.payload))),
            ),
        )
        for case in type.cases
    )
    return RecordValue("variant-desc", (("name", _text(type.name)), ("cases", ListValue(ANY_RECORD, cases))))
