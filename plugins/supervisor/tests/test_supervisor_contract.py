"""The interface: hashes of both generations, the page, the packaging, and a guest of each generation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.chain.events import decode_event
from theater_bus.core.values.hashing import interface_hash, subset_hash
from theater_bus.core.values.pact import parse
from theater_bus.plugins import compile_capability
from theater_bus.testing import build_guest, relay_guest
from theater_bus_supervisor import Supervisor, Supervisor0312

from .conftest import BOSS, COUNTER, capability

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "capabilities" / "supervisor.md"
TYPE, EARLIER = compile_capability("supervisor", Supervisor), compile_capability("supervisor", Supervisor0312)
HEAD = "802d3cc29f9e141e4809eb926ceb441206837da1c469d17333a6633b0e82908b"


def test_both_generations_of_the_interface_have_their_hashes() -> None:
    [head] = TYPE.interfaces
    names = {one.name for one in head.functions} - {"get-child-events"}
    assert subset_hash(head, names).hex() == HEAD
    [earlier] = EARLIER.interfaces
    # The interface at 0.3.12 as its own pact spells it.
    original = parse(
        """interface supervisor { @package: string = "theater:simple" exports {
        spawn: func(manifest: string, init-bytes: option<list<u8>>, wasm-bytes: option<list<u8>>) -> result<string, string>
        spawn-and-wait: func(m: string, i: option<list<u8>>, w: option<list<u8>>, t: option<u64>) -> result<option<list<u8>>, string>
        resume: func(m: string, s: option<list<u8>>, w: option<list<u8>>) -> result<string, string>
        list-children: func() -> result<list<string>, string>
        restart-child: func(child-id: string) -> result<_, string>
        stop-child: func(child-id: string) -> result<_, string>
        get-child-state: func(child-id: string) -> result<option<list<u8>>, string>
        get-child-events: func(child-id: string) -> result<list<list<u8>>, string>
        } }""",  # noqa: E501
        "original",
    )
    assert interface_hash(earlier) == interface_hash(original.interfaces[0])
    assert interface_hash(earlier) != interface_hash(head)


def test_the_page_says_what_the_pact_and_the_settings_say() -> None:
    page = PAGE.read_text("utf-8")
    for type_ in (TYPE, EARLIER):
        for digest in type_.hashes().values():
            assert f"`{digest.hex()}`" in page
    assert f"`{HEAD}`" in page
    described = re.findall(r"^\| `([a-z-]+): func", page, re.M)
    assert sorted(described) == sorted(name for _, name in TYPE.functions)
    settings = re.findall(r"^\| `([a-z_]+)` \|", page, re.M)
    assert sorted(settings) == sorted(Supervisor.Settings.model_fields)
    assert TYPE.calls == EARLIER.calls == ("theater:simple/supervisor-handlers",)
    external = {name for (_, name), function in TYPE.functions.items() if function.effect == "external"}
    assert external == {"spawn", "spawn-and-wait", "resume", "restart-child", "stop-child"}


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(BOSS.folder / "boss.c") == BOSS.wasm


async def test_a_guest_of_0_3_12_gets_its_version(start_host: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime"])
    old = await host.spawn(relay_guest(Supervisor0312), id="old", capabilities={"supervisor": {}})
    new = await host.spawn(relay_guest(Supervisor), id="new", capabilities={"supervisor": {}})
    assert type(capability(host, "old")) is Supervisor0312
    assert type(capability(host, "new")) is Supervisor
    text = 'name = "x"\nid = "old-{}"\ninitial_state = 3'
    assert await old.call_function("spawn", [text.format(1), None, COUNTER.wasm]) == [{"ok": "old-1"}]
    [state] = await old.call_function("get-child-state", ["old-1"])
    await old.call_function("spawn", [text.format(2), state["ok"], COUNTER.wasm])
    [refused] = await old.call_function("spawn", [text.format(3), b"bytes", COUNTER.wasm])
    assert "the initial state does not fit" in refused["err"]
    assert await old.call_function("list-children") == ["old-1", "old-2"]
    [events] = await old.call_function("get-child-events", ["old-2"])
    assert [decode_event(one).type for one in events["ok"]] == ["genesis", "call", "result"]
    [waited] = await old.call_function("spawn-and-wait", [text.format(4), None, COUNTER.wasm, 10])
    assert "did not end within 10 ms" in waited["err"]
    assert await new.call_function("list-children") == []
