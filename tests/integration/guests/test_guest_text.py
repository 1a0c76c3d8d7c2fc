"""The text analyser: its counts are those of Python, for whole texts and for pieces."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.values.codec import function_codec
from theater_bus.engine import Limits
from theater_bus.errors import TypeMismatch
from theater_bus.testing.guests import guest

TEXT = guest("text")
NOTHING = dict.fromkeys(["chunks", "bytes", "characters", "lines", "words", "longest", "open"], 0)
SAMPLE = "It is a truth universally acknowledged,\nthat a Single man IS in want; déjà-vu isn't 1 word.\n"


def expected(text: bytes) -> dict[str, Any]:
    words = re.findall(rb"[A-Za-z0-9'\x80-\xff]+", text)
    counted = Counter(bytes(b | 0x20 if 65 <= b <= 90 else b for b in word) for word in words)
    top = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:10]
    return {
        "bytes": len(text),
        "characters": sum(byte & 0xC0 != 0x80 for byte in text),
        "lines": text.count(b"\n"),
        "words": len(words),
        "distinct": len(counted),
        "longest-word": max(words, key=len, default=b"").decode(),
        "top": [[word.decode(), count] for word, count in top],
    }


@pytest.fixture
async def text(load: Any, wasm_of: Any) -> Any:
    return await load(wasm_of("text"), state=NOTHING)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("sample", [SAMPLE, "", "word", " \n", "A a B b C", "x" * 70_000])
async def test_a_report_counts_what_python_counts(text: Any, sample: str) -> None:
    assert plain(await text.call("analyse", sample)) == expected(sample.encode())


async def test_a_module_takes_text_as_bytes_and_refuses_other_values_itself(load: Any) -> None:
    text = await load(TEXT.wasm, state=NOTHING)
    assert plain(await text.call("analyse", SAMPLE.encode())) == expected(SAMPLE.encode())
    assert await text.error("analyse", 5) == "a string or a list<u8> is needed"


async def test_a_component_declares_a_string_so_that_other_values_never_reach_it(load: Any, twin: Any) -> None:
    text = await load(twin("text"), state=NOTHING)
    for wrong in (SAMPLE.encode(), 5):
        with pytest.raises(TypeMismatch, match=r"analyse: params\.text must be string"):
            await text.call("analyse", wrong)


async def test_pieces_add_up_to_the_whole_even_when_words_are_cut(text: Any) -> None:
    data = (SAMPLE * 30).encode()
    for at in range(0, len(data), 37):
        assert await text.call("add", data[at : at + 37]) == min(at + 37, len(data))
    totals = await text.call("totals")
    whole = expected(data)
    assert {key: totals[key] for key in ("bytes", "characters", "lines", "words")} == {
        key: whole[key] for key in ("bytes", "characters", "lines", "words")
    }
    assert totals["longest"] == len("acknowledged")
    assert totals["chunks"] == -(-len(data) // 37)
    await text.call("reset")
    assert plain(await text.call("totals")) == NOTHING


async def test_a_megabyte_takes_well_under_a_tenth_of_a_second(text: Any, load: Any, wasm_of: Any) -> None:
    sample = " ".join(f"{word}{number % 997}" for number in range(14_000) for word in SAMPLE.split())[: 1 << 20]
    await text.call("analyse", sample)
    result = await text.run("analyse", sample)
    assert result.status == 0
    assert result.cpu_ns < 100_000_000
    export = text.exports["analyse"]
    outcome = function_codec(export.function, True).decode_result(result.output)
    assert plain(outcome.plain()) == expected(sample.encode())
    small = await load(wasm_of("text"), state=NOTHING, limits=Limits(memory_bytes=16 << 20))
    for _ in range(5):
        await small.call("analyse", sample)
    assert plain(await small.call("totals")) == NOTHING, "every call gives back what it takes"


async def test_words_of_all_kinds_are_counted_as_in_python(text: Any) -> None:
    samples: list[str] = []

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.text(alphabet=st.sampled_from("aAbB'0 \n-éß漢"), max_size=60))
    def collect(sample: str) -> None:
        samples.append(sample)

    collect()
    for sample in samples:
        assert plain(await text.call("analyse", sample)) == expected(sample.encode())
