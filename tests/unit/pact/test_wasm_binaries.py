"""Modules that cannot be read or added to, and metadata that is looked for."""

from __future__ import annotations

from functools import partial

import pytest

from theater_bus.core.values.embed import c_header, embed_in_binary, embed_in_wat, find_metadata, wat_fragment
from theater_bus.core.values.metadata import emit_metadata
from theater_bus.core.values.pact import parse
from theater_bus.core.values.wasm_binary import Section, WasmModule, leb, signed_leb
from theater_bus.errors import ConfigurationError

from .conftest import CpuSeconds

BLOB = emit_metadata((), parse("exports { f: func(a: u8) }").exports)
HEADER = b"\0asm\x01\0\0\0"
ALLOC_TYPE = b"\x60\x01\x7f\x01\x7f"
MEMORY = b"\x01\x00\x01"


def vector(*entries: bytes) -> bytes:
    return leb(len(entries)) + b"".join(entries)


def name(text: str) -> bytes:
    return leb(len(text)) + text.encode()


def module(*sections: tuple[int, bytes]) -> bytes:
    return HEADER + b"".join(bytes([number]) + leb(len(payload)) + payload for number, payload in sections)


def exporting(*exports: bytes, type: bytes = ALLOC_TYPE, memory: bytes = MEMORY) -> bytes:
    """A module with one function and one memory."""
    return module(
        (Section.TYPE, vector(type)),
        (Section.FUNCTION, vector(b"\x00")),
        (Section.MEMORY, memory),
        (Section.EXPORT, vector(*exports)),
        (Section.CODE, vector(b"\x04\x00\x41\x10\x0b")),
    )


MEMORY_EXPORT, ALLOC_EXPORT = name("memory") + b"\x02\x00", name("__pack_alloc") + b"\x00\x00"


def refused(wasm: bytes) -> str:
    with pytest.raises(ConfigurationError, match=r"^guest.wasm: ") as caught:
        embed_in_binary(wasm, BLOB, "guest.wasm")
    return str(caught.value)


@pytest.mark.parametrize("number", [0, 1, 63, 64, 127, 128, 300, 8191, 8192, 65536, 2**31 - 1])
def test_numbers_are_encoded_as_leb128(number: int) -> None:
    value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(leb(number)))
    assert value == number
    signed = signed_leb(number)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(signed)) == number
    assert not signed[-1] & 0x40, "the sign bit of the last byte"


def test_negative_numbers_keep_their_sign() -> None:
    assert (signed_leb(-1), signed_leb(-64), signed_leb(-65)) == (b"\x7f", b"\x40", b"\xbf\x7f")


@pytest.mark.parametrize(
    ("wasm", "message"),
    [
        (b"", "does not begin like WebAssembly"),
        (b"\x7fELF\x01\0\0\0", "does not begin like WebAssembly"),
        (b"\0asm", "a component, or of another version"),
        (b"\0asm\x0d\0\x01\0", "a component, or of another version"),
        (HEADER + b"\x01", "it ends in the middle of a section"),
        (HEADER + b"\x01\x05\x00", "it ends in the middle of a section"),
        (HEADER + b"\x01" + b"\x80" * 11, "a number of more than ten bytes"),
        (module((1, b"\0"), (1, b"\0")), "it has section 1 twice"),
        (module((7, b"\x01\x01\xff\x00\x00")), "a name that is not UTF-8"),
        (module((7, b"\x05\x00")), "a vector that is longer than its section"),
        (module(), "it does not export its first memory"),
        (exporting(ALLOC_EXPORT), "it does not export its first memory"),
        (exporting(name("memory") + b"\x02\x01", ALLOC_EXPORT), "it does not export its first memory"),
        (exporting(MEMORY_EXPORT, name("__pack_types") + b"\x00\x00"), "it exports `__pack_types` already"),
        (exporting(MEMORY_EXPORT, ALLOC_EXPORT, memory=b"\x01\x03\x01\x02"), "its memory is shared"),
        (exporting(MEMORY_EXPORT, ALLOC_EXPORT, memory=b"\x01\x04\x01"), "its memory is shared, 64-bit"),
        (exporting(MEMORY_EXPORT, ALLOC_EXPORT, memory=b"\x01\x08\x01\x00"), "of another page size"),
        (exporting(MEMORY_EXPORT), "it does not export a function `__pack_alloc`"),
        (exporting(MEMORY_EXPORT, name("__pack_alloc") + b"\x02\x00"), "does not export a function `__pack_alloc`"),
        (exporting(MEMORY_EXPORT, name("__pack_alloc") + b"\x00\x05"), "does not export a function `__pack_alloc`"),
        (exporting(MEMORY_EXPORT, ALLOC_EXPORT, type=b"\x60\x00\x01\x7f"), "is not a function from i32 to i32"),
        (exporting(MEMORY_EXPORT, ALLOC_EXPORT, type=b"\x5f\x00"), "types that are not functions"),
        (
            module((2, vector(name("a") + name("b") + b"\x07")), (5, MEMORY), (7, vector(MEMORY_EXPORT))),
            "an import of kind 7",
        ),
    ],
)
def test_a_module_that_metadata_cannot_be_added_to_is_refused(wasm: bytes, message: str) -> None:
    assert message in refused(wasm)


def test_the_same_input_gives_the_same_bytes_and_only_adds() -> None:
    plain = exporting(MEMORY_EXPORT, ALLOC_EXPORT)
    found = embed_in_binary(plain, BLOB)
    assert found == embed_in_binary(plain, BLOB)
    before, after = WasmModule(plain, "x"), WasmModule(found, "x")
    assert after.types()[:1] == before.types()
    assert after.functions()[:1] == before.functions()
    assert after.payload(Section.MEMORY) == before.payload(Section.MEMORY)
    assert [number for number, _ in after.sections] == [1, 3, 5, 6, 7, 12, 10, 11]


def test_imports_of_every_kind_are_counted_where_indices_begin() -> None:
    imported = vector(
        name("a") + name("function") + b"\x00\x00",
        name("a") + name("table") + b"\x01\x70\x01\x01\x02",
        name("a") + name("memory") + b"\x02\x00\x01",
        name("a") + name("global") + b"\x03\x63\x00\x00",
        name("a") + name("tag") + b"\x04\x00\x00",
    )
    wasm = module(
        (Section.CUSTOM, name("first")),
        (Section.TYPE, vector(ALLOC_TYPE, b"\x60\x02\x7f\x7f\x01\x7f")),
        (Section.IMPORT, imported),
        (Section.EXPORT, vector(MEMORY_EXPORT, ALLOC_EXPORT)),
        (Section.CUSTOM, name("last")),
    )
    found = WasmModule(embed_in_binary(wasm, BLOB), "x")
    assert found.exports()["__pack_types"] == (0, 1)
    assert found.functions() == [0, 1]
    assert len(found.types()) == 2
    assert found.memory_flags() == [0]
    body = found.payload(Section.CODE)
    assert body is not None
    assert body[2:5] == b"\x00\x23\x01", "the new global comes behind the imported one"


def data(*segments: bytes) -> bytes:
    return module((Section.DATA, vector(*segments)))


@pytest.mark.parametrize(
    "segment",
    [
        b"\x01" + leb(len(BLOB)) + BLOB,
        b"\x00\x41\x10\x0b" + leb(len(BLOB) + 9) + b"CGRF" + BLOB + b"after",
        b"\x02\x00\x23\x00\x41\x04\x6a\x0b" + leb(len(BLOB)) + BLOB,
        b"\x01" + leb(len(BLOB) + 17) + b"CGRF\x02\0\0\0\x01\0\0\0\0\0\0\0\x01" + BLOB,
    ],
    ids=["passive", "in the middle", "computed offset of another memory", "behind something alike"],
)
def test_metadata_is_found_wherever_it_lies_in_the_data(segment: bytes) -> None:
    assert find_metadata(data(b"\x01\x05other", segment)) == BLOB


def test_a_module_without_metadata_has_none() -> None:
    assert find_metadata(module()) is None
    assert find_metadata(data(b"\x01\x04CGRF")) is None
    cut = BLOB[:-1]
    assert find_metadata(data(b"\x01" + leb(len(cut)) + cut)) is None


@pytest.mark.parametrize(
    ("segment", "message"), [(b"\x03", "a data segment of kind 3"), (b"\x00\x01\x0b\x00", "not a constant expression")]
)
def test_data_that_is_not_understood_is_refused(segment: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        find_metadata(data(segment))


def test_looking_for_metadata_in_hostile_data_takes_bounded_time(cpu_seconds: CpuSeconds) -> None:
    alike = b"CGRF\x02\0\0\0\xff\xff\0\0\0\0\0\0"
    one_value = b"CGRF\x02\0\0\0\x01\0\0\0\0\0\0\0" + b"\x0b\0\0\0\x04\0\0\0\0\0\0\0"
    for content in (alike * 50_000, one_value * 20_000, b"CGRF" * 200_000):
        binary = data(b"\x01" + leb(len(content)) + content)
        assert find_metadata(binary) is None
        assert cpu_seconds(partial(find_metadata, binary)) < 2


def test_a_fragment_escapes_every_byte() -> None:
    assert '(data (i32.const 64) "\\00\\22\\ff")' in wat_fragment(b'\x00"\xff', 64)
    assert "(i32.const 3))" in wat_fragment(b'\x00"\xff', 64)


@pytest.mark.parametrize(
    ("source", "before"),
    [
        ("(module)", "(module"),
        ('( module (data ")") ;; )\n)', '( module (data ")") ;; )'),
        ("(module ;; @pack_types\n (func))", "(module ;; @pack_types"),
        ("(module (; ;; @pack_types ;) (func) )", "(module (; ;; @pack_types ;) (func) "),
        ("(module (; (; ;) (func) ;) )", "(module (; (; ;) (func) ;) "),
        ("(module) (; never closed )", "(module"),
        ("(func)", "(func)"),
        ("", ""),
    ],
)
def test_the_fragment_goes_to_the_marker_or_to_the_end_of_the_module(source: str, before: str) -> None:
    fragment = wat_fragment(b"x", 8)
    found = embed_in_wat(source, b"x", 8)
    at = found.index(fragment)
    assert found[:at].rstrip("\n") == before.rstrip("\n")
    assert "".join(found.replace(fragment, "").split()) == "".join(source.split())


def test_a_c_header_holds_the_bytes_and_exports_the_function() -> None:
    found = c_header(bytes(range(20)), "counter.pact")
    assert "generated from counter.pact." in found
    assert "pack_types_blob[20] = {\n    0x00, 0x01," in found
    assert "0x0f,\n    0x10, 0x11, 0x12, 0x13,\n};" in found
    assert 'export_name("__pack_types")' in found
    assert "generated. Do not" in c_header(b"")
