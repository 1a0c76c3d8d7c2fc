"""The literal text form of values: `(7u8, "s", some<u32>(5u32))`, for people and for text chain files.

    7u8  -3s64  1.0f32  NaNf64  inff64  true  'c'  "text"  flags(0xff)
    (a, b)  ()  [a, b]  []<T>  some<T>(v)  none<T>  ok<T, E>(v)  err<T, E>(v)
    name{field: v}  {field: v}  type::case(v, …)  ::case

Invariants: what `format_value` writes, `parse_value` reads, and writing that again gives the same text. The text does
not hold the type tag of a list with items, the number of a variant's case, nor NaN bits: a parsed list is tagged by its
first item, a parsed case has number 0. Floats never use exponents. Names that are no identifiers are quoted.
Source: pack-abi §2.4.
"""

from __future__ import annotations

import re
import struct
from decimal import Decimal
from math import isinf, isnan

from theater_bus.core.values.model import (
    FORMATS,
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
    Value,
    VariantValue,
    list_of,
    tag_of,
)
from theater_bus.core.values.nodes import MAX_DEPTH
from theater_bus.errors import SerializationError

__all__ = ["format_tag", "format_value", "parse_value"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
_UNESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,1200})?", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{1,16}", re.ASCII)
_SPACE = re.compile(r"[ \t\r\n]*")
_SUFFIX = re.compile(r"[usf](?:8|16|32|64)", re.ASCII)
_SPECIAL = re.compile(r"-?inff(32|64)|NaNf(32|64)", re.ASCII)


def format_value(value: Value) -> str:
    """The literal text of `value`."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def _write(value: Value, parts: list[str]) -> None:
    match value:
        case ScalarValue(kind, plain):
            parts.append(_format_scalar(kind, plain))
        case FloatValue(kind):
            parts.append(_format_float(value) + kind.name.lower())
        case ArrayValue() | ListValue():
            items = value.items() if isinstance(value, ArrayValue) else value.items
            _write_items("[", items, "]", parts)
            if not items:
                parts.append(f"<{format_tag(tag_of(value).args[0])}>")
        case TupleValue(items):
            _write_items("(", items, ")", parts)
        case OptionValue(inner, some):
            tag = format_tag(inner)
            if some is None:
                parts.append(f"none<{tag}>")
            else:
                _write_items(f"some<{tag}>(", (some,), ")", parts)
        case ResultValue(ok, err, is_ok, payload_value):
            tags = f"<{format_tag(ok)}, {format_tag(err)}>("
            _write_items(("ok" if is_ok else "err") + tags, (payload_value,), ")", parts)
        case RecordValue(name, fields):
            parts.append((_name(name) if name else "") + "{")
            for place, (field, item) in enumerate(fields):
                parts.append(f"{', ' if place else ''}{_name(field)}: ")
                _write(item, parts)
            parts.append("}")
        case _:
            parts.append(f"{_name(value.name) if value.name else ''}::{_name(value.case)}")
            if value.payload:
                _write_items("(", value.payload, ")", parts)


def _write_items(opening: str, items: tuple[Value, ...], closing: str, parts: list[str]) -> None:
    parts.append(opening)
    for place, item in enumerate(items):
        if place:
            parts.append(", ")
        _write(item, parts)
    parts.append(closing)


def format_tag(tag: Tag) -> str:
    """A type tag: `list<u8>`, `tuple<>`, `record<Point>`."""
    word = tag.kind.name.lower()
    if tag.kind is Kind.RECORD or tag.kind is Kind.VARIANT:
        return f"{word}<{_name(tag.name)}>"
    if tag.args or tag.kind is Kind.TUPLE:
        return f"{word}<{', '.join([format_tag(arg) for arg in tag.args])}>"
    return word


def _format_scalar(kind: Kind, plain: bool | int | str) -> str:
    if kind is Kind.BOOL:
        return "true" if plain else "false"
    if isinstance(plain, str):
        return _quoted(plain, "'" if kind is Kind.CHAR else '"')
    return f"flags({plain:#x})" if kind is Kind.FLAGS else f"{plain}{kind.name.lower()}"


def _format_float(value: FloatValue) -> str:
    number = value.number
    if isnan(number):
        return "NaN"
    if isinf(number):
        return "inf" if number > 0 else "-inf"
    digits = format(Decimal(repr(number) if value.kind is Kind.F64 else _shortest_f32(value)), "f")
    return digits if "." in digits else digits + ".0"


def _shortest_f32(value: FloatValue) -> str:
    texts = (f"{value.number:.{precision}g}" for precision in range(1, 9))
    return next((text for text in texts if _is_f32(text, value)), f"{value.number:.9g}")


def _is_f32(text: str, value: FloatValue) -> bool:
    try:
        return FloatValue.of(Kind.F32, float(text)) == value
    except OverflowError:
        return False


def _name(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else _quoted(name, '"')


def _quoted(text: str, quote: str) -> str:
    return f"{quote}{''.join([_escaped(character, quote) for character in text])}{quote}"


def _escaped(character: str, quote: str) -> str:
    if character == quote:
        return "\\" + quote
    if character < " " or character == "\x7f":
        return _ESCAPES.get(character) or f"\\u{{{ord(character):x}}}"
    return r"\\" if character == "\\" else character


def parse_value(text: str) -> Value:
    """The value that a literal says. Raises `SerializationError` with the column, from 1, where it makes no sense."""
    reader = _Reader(text)
    value = reader.value(1)
    reader.space()
    if reader.at != len(text):
        raise reader.fault("the end")
    return value


class _Reader:
    """A position in a literal text."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def fault(self, expected: str) -> SerializationError:
        """The error that something else was expected here."""
        found = self.text[self.at : self.at + 12] or "the end"
        return SerializationError(f"literal column {self.at + 1}: expected {expected}, found {found!r}")

    def space(self) -> None:
        """Skip white space."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def take(self, token: str) -> bool:
        """Skip white space and `token`, if it comes next."""
        self.space()
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def need(self, token: str) -> None:
        """As `take`, and it must come."""
        if not self.take(token):
            raise self.fault(repr(token))

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """The text that `pattern` matches right here, if it does."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def value(self, depth: int) -> Value:
        """Any value."""
        if depth > MAX_DEPTH:
            raise self.fault(f"at most {MAX_DEPTH} levels")
        self.space()
        begin = self.text[self.at : self.at + 1]
        if begin == "(":
            return TupleValue(self.items("(", ")", depth))
        if begin == "[":
            return self.list_of(self.items("[", "]", depth))
        if begin == "'":
            return self.char()
        number = self.number()
        if number is not None:
            return number
        name = "" if self.at_name_end() else self.quoted('"') if begin == '"' else self.word()
        if not self.at_name_end():
            return ScalarValue(Kind.STRING, name) if begin == '"' else self.keyword(name, depth)
        if not self.take("::"):
            return self.record(name, depth)
        case = self.name()
        payload = self.items("(", ")", depth) if self.text.startswith("(", self.at) else ()
        return VariantValue(name, case, 0, payload)

    def at_name_end(self) -> bool:
        """Whether a record or variant goes on here, behind its type name."""
        return self.text.startswith(("{", "::"), self.at)

    def items(self, opening: str, closing: str, depth: int) -> tuple[Value, ...]:
        """Values between brackets, separated by commas."""
        self.need(opening)
        items: list[Value] = []
        while not self.take(closing):
            if items:
                self.need(",")
            items.append(self.value(depth + 1))
        return tuple(items)

    def list_of(self, items: tuple[Value, ...]) -> Value:
        """The list of `items`; `<T>` follows where there are none."""
        if not items:
            return list_of(self.tags(1)[0], ())
        elem = tag_of(items[0])
        if elem.kind in FORMATS and any(tag_of(item) != elem for item in items):
            elem = Tag(Kind.STRING)
        return list_of(elem, items)

    def char(self) -> Value:
        """`'c'`."""
        text = self.quoted("'")
        if len(text) != 1:
            raise self.fault("one character in single quotes before this")
        return ScalarValue(Kind.CHAR, text)

    def quoted(self, quote: str) -> str:
        """The content of quotes."""
        self.need(quote)
        parts: list[str] = []
        while not self.text.startswith(quote, self.at):
            if self.at >= len(self.text):
                raise self.fault(f"a closing {quote}")
            character = self.text[self.at]
            self.at += 1
            parts.append(self.escape() if character == "\\" else character)
        self.at += 1
        found = "".join(parts)
        if any(0xD800 <= ord(character) < 0xE000 for character in found):
            raise self.fault("no lone surrogates before this")
        return found

    def escape(self) -> str:
        """What follows a backslash."""
        letter = self.text[self.at : self.at + 1]
        if letter in _UNESCAPES:
            self.at += 1
            return _UNESCAPES[letter]
        if self.text.startswith("u{", self.at):
            self.at += 2
            digits = self.match(_HEX)
            if digits and self.text.startswith("}", self.at) and int(digits, 16) <= 0x10FFFF:
                self.at += 1
                return chr(int(digits, 16))
        raise self.fault("an escape sequence")

    def number(self) -> Value | None:
        """An integer or float with its suffix, if one is here."""
        special = self.match(_SPECIAL)
        if special:
            if self.at_name_end():
                self.at -= len(special)
                return None
            return FloatValue.of(Kind[special[-3:].upper()], float(special[:-3].lower()))
        digits = self.match(_NUMBER)
        if digits is None:
            return None
        suffix = self.match(_SUFFIX)
        kind = Kind.__members__.get((suffix or "").upper())
        if kind is None or ("." in digits) is not (kind in (Kind.F32, Kind.F64)):
            raise self.fault("a number with a matching suffix before this")
        try:
            if kind in (Kind.F32, Kind.F64):
                return FloatValue.of(kind, float(digits))
            struct.pack("<" + FORMATS[kind], int(digits))
        except (struct.error, OverflowError):
            raise self.fault(f"a {kind.name.lower()} in range before this") from None
        return ScalarValue(kind, int(digits))

    def word(self) -> str:
        """An identifier."""
        word = self.match(_IDENTIFIER)
        if word is None:
            raise self.fault("a value")
        return word

    def keyword(self, word: str, depth: int) -> Value:
        """What a keyword begins."""
        if word in ("true", "false"):
            return ScalarValue(Kind.BOOL, word == "true")
        if word == "flags":
            return self.flags()
        if word not in ("some", "none", "ok", "err"):
            raise self.fault("'{' or '::' after a name")
        tags = self.tags(1 if word in ("some", "none") else 2)
        if word == "none":
            return OptionValue(tags[0], None)
        self.need("(")
        value = self.value(depth + 1)
        self.need(")")
        return OptionValue(tags[0], value) if word == "some" else ResultValue(tags[0], tags[1], word == "ok", value)

    def flags(self) -> Value:
        """`flags(0xff)`, from the bracket on."""
        self.need("(")
        self.need("0x")
        digits = self.match(_HEX)
        if digits is None:
            raise self.fault("hexadecimal digits")
        self.need(")")
        return ScalarValue(Kind.FLAGS, int(digits, 16))

    def record(self, name: str, depth: int) -> Value:
        """A record, from behind its type name."""
        self.need("{")
        fields: list[tuple[str, Value]] = []
        while not self.take("}"):
            if fields:
                self.need(",")
            field = self.name()
            self.need(":")
            fields.append((field, self.value(depth + 1)))
        return RecordValue(name, tuple(fields))

    def name(self) -> str:
        """An identifier, or any name in double quotes."""
        self.space()
        if self.text.startswith('"', self.at):
            return self.quoted('"')
        name = self.match(_IDENTIFIER)
        if name is None:
            raise self.fault("a name")
        return name

    def tags(self, count: int, depth: int = 1) -> tuple[Tag, ...]:
        """`count` type tags in angle brackets."""
        tags = self.tag_list(depth)
        if len(tags) != count:
            raise self.fault(f"{count} types in angle brackets before this")
        return tags

    def tag_list(self, depth: int) -> tuple[Tag, ...]:
        """Type tags in angle brackets, separated by commas."""
        self.need("<")
        tags: list[Tag] = []
        while not self.take(">"):
            if tags:
                self.need(",")
            tags.append(self.tag(depth))
        return tuple(tags)

    def tag(self, depth: int) -> Tag:
        """One type tag."""
        if depth > MAX_DEPTH:
            raise self.fault(f"at most {MAX_DEPTH} levels")
        self.space()
        word = self.match(_IDENTIFIER) or ""
        kind = Kind.__members__.get(word.upper()) if word == word.lower() and word != "array" else None
        if kind is None:
            raise self.fault("a type before this")
        if kind is Kind.RECORD or kind is Kind.VARIANT:
            self.need("<")
            name = self.name()
            self.need(">")
            return Tag(kind, name=name)
        if kind is Kind.TUPLE:
            return Tag(kind, self.tag_list(depth + 1))
        count = _ARGUMENTS.get(kind, 0)
        return Tag(kind, self.tags(count, depth + 1) if count else ())


_ARGUMENTS = {Kind.LIST: 1, Kind.OPTION: 1, Kind.RESULT: 2}
