"""Cutting output into parts: nothing is lost, nothing is out of order, nothing is too long."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theater_bus_process.output import Mode, cutter

PIECES = st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\x01", b"\n")), max_size=12)


def parts_of(mode: Mode, pieces: list[bytes], part: int = 7, chunk: int = 5) -> list[bytes]:
    cut = cutter(mode, part, chunk)
    return [one for piece in pieces for one in cut.feed(piece)] + cut.end()


@given(PIECES)
def test_raw_is_what_came(pieces: list[bytes]) -> None:
    parts = parts_of("raw", pieces)
    assert b"".join(parts) == b"".join(pieces)
    assert all(0 < len(part) <= 7 for part in parts)


@given(PIECES)
def test_chunks_have_one_size_and_the_last_one_is_not_lost(pieces: list[bytes]) -> None:
    parts = parts_of("chunked", pieces)
    assert b"".join(parts) == b"".join(pieces)
    assert all(len(part) == 5 for part in parts[:-1])
    assert all(0 < len(part) <= 5 for part in parts[-1:])


@given(PIECES)
def test_lines_are_the_same_however_they_come_and_the_last_one_needs_no_break(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        del expected[-1]
    assert parts_of("line-by-line", pieces, part=1000) == expected
    short = parts_of("line-by-line", pieces)
    assert all(len(part) <= 7 for part in short)
    assert b"".join(short) == whole.replace(b"\n", b"")


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=3), max_size=5), st.integers(1, 9))
def test_json_lines_are_the_documents(documents: list[dict[str, int]], size: int) -> None:
    whole = b"\n\n".join(json.dumps(one).encode() for one in documents)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert [json.loads(part) for part in parts_of("json", pieces, part=1000)] == documents


@pytest.mark.parametrize(
    "line", [b"no json", b"{", b"[" * 100_000, b'"\xff"', b"1" * 200, b'"' + b"x" * 200 + b'"', b"{} {}"]
)
def test_lines_that_are_no_json_or_too_long_are_counted_and_left_out(line: bytes) -> None:
    for pieces in (
        [b"1\n" + line + b"\n2"],
        [b"1\n", *(line[at : at + 50] for at in range(0, len(line), 50)), b"\n2\n"],
    ):
        cut = cutter("json", 100, 5)
        parts = [one for piece in pieces for one in cut.feed(piece)] + cut.end()
        assert (parts, cut.skipped) == ([b"1", b"2"], 1)
