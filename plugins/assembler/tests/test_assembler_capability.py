"""The assembler capability: its page, modules that run, text that is none, bounds."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.capability import CapabilityError
from theater_bus.core.values.hashing import interface_hash
from theater_bus.engine.inspection import inspect
from theater_bus.errors import SpawnRefused, TypeMismatch
from theater_bus.plugins import compile_capability
from theater_bus.testing import capability_harness
from theater_bus_assembler import Assembler

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "capabilities" / "assembler.md"
PACT = Path(__file__).parents[1] / "src" / "theater_bus_assembler" / "assembler.pact"
[INTERFACE] = compile_capability("assembler", Assembler).interfaces
ORIGINAL = "f62d1c94e045e1f56b802a5044b49e4aed62c3f272f8df9fc1ef876dadb20654"
ADD = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'


def test_the_interface_is_the_original_and_the_reference_states_it() -> None:
    page, pact = PAGE.read_text("utf-8"), PACT.read_text("utf-8")
    declared = re.findall(r"^ +([a-z-]+: func\(.*)$", pact, re.MULTILINE)
    assert re.findall(r"^\| `([a-z-]+: func[^`]*)` \|", page, re.MULTILINE) == declared
    assert re.findall(r"^\| `([a-z_]+)` \| ([\d,]+) \|", page, re.MULTILINE) == [
        (name, f"{field.default:,}") for name, field in Assembler.Settings.model_fields.items()
    ]
    assert INTERFACE.name == "wisp:assembler/runtime"
    assert interface_hash(INTERFACE).hex() == ORIGINAL
    assert f"`{ORIGINAL}`" in page


async def test_text_becomes_a_module(start_harness: Any) -> None:
    assembler = await start_harness(Assembler)
    wasm = await assembler.call("wat-to-wasm", ADD)
    assert inspect(wasm).exports == (("add", "function"),)
    assert await assembler.call("wat-to-wasm", "(module)") == b"\0asm\1\0\0\0"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(module", "<anon>:1:8"),
        ("(module (func (call $nobody)))", "unknown func"),
        ("\0", "unexpected character"),
        ("../../etc/passwd", "<anon>:1:1"),
        ("(" * 100_000, "<anon>:1"),
        ("(component " * 10_000, "nesting too deep"),
        ("", "expected at least one module field"),
    ],
)
async def test_text_that_is_no_module_is_told_with_its_place(start_harness: Any, text: str, why: str) -> None:
    assembler = await start_harness(Assembler)
    with pytest.raises(CapabilityError, match=re.escape(why)) as caught:
        await assembler.call("wat-to-wasm", text)
    assert len(str(caught.value.value)) <= 2_000


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet='()module funcexport$"\\0i32.;\n', max_size=200))
def test_any_text_is_a_module_or_an_error(text: str) -> None:
    async def assemble() -> None:
        async with capability_harness(Assembler) as assembler:
            with suppress(CapabilityError):
                assert (await assembler.call("wat-to-wasm", text)).startswith(b"\0asm")

    asyncio.run(assemble())


async def test_deep_nesting_and_a_megabyte_cost_no_more_than_their_size(start_harness: Any) -> None:
    assembler = await start_harness(Assembler)
    half = 60_000
    for text in (
        "(module (func " + "(block " * half + ")" * half + "))",
        "(module " + "(func)" * 2 * half + ")",
        "(module " + "(;" * half + ";)" * half + ")",
    ):
        wasm = await assembler.call("wat-to-wasm", text, timeout_s=60)
        assert len(wasm) <= len(text)


async def test_the_size_is_bounded_in_bytes_and_the_refusal_names_the_line(start_harness: Any) -> None:
    assembler = await start_harness(Assembler, {"text_bytes": 20})
    assert await assembler.call("wat-to-wasm", "(module) ;; " + "x" * 8)
    with pytest.raises(CapabilityError, match=r"21 bytes .* assembler\.text_bytes = 20\. Fix: write `text_bytes = 21`"):
        await assembler.call("wat-to-wasm", "(module) ;; " + "x" * 7 + "ä")


@pytest.mark.parametrize("wrong", [1, None, b"(module)", ["(module)"], True])
async def test_wrong_types_never_reach_the_capability(start_harness: Any, wrong: object) -> None:
    with pytest.raises(TypeMismatch):
        await (await start_harness(Assembler)).call("wat-to-wasm", wrong)


@pytest.mark.parametrize("wrong", [{"text_bytes": -1}, {"text_bytes": 1 << 30}, {"text_bytes": "1"}, {"size": 1}])
async def test_a_wrong_setting_refuses_the_spawn_and_names_the_right_one(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"\[capabilities.assembler\].*its settings are text_bytes"):
        await start_harness(Assembler, wrong)


async def test_host_and_parent_cut_the_size(start_host: Any) -> None:
    host = await start_host(Assembler, grants={"assembler": {"text_bytes": 30}})
    await host.spawn(Assembler, id="parent", capabilities={"assembler": {"text_bytes": 20}})
    for parent, most in ((None, 30), ("parent", 20)):
        actor = await host.spawn(Assembler, parent=parent)
        [answer] = await actor.call_function("wat-to-wasm", [" " * (most + 1)])
        assert f"assembler.text_bytes = {most}." in answer["err"]
