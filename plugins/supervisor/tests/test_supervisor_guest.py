"""A guest with children on a real host: spawning, hearing, stopping, restarting, and what must not come of it."""

from __future__ import annotations

import asyncio
import json
import re
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from theater_bus.capability import CapabilityError, ChildSpec, hookimpl
from theater_bus.core.chain.events import decode_event
from theater_bus.core.values.hashing import interface_hash, subset_hash
from theater_bus.core.values.pact import parse
from theater_bus.errors import FunctionNotFound, GuestError, Internal, Overloaded, SpawnRefused
from theater_bus.plugins import compile_capability
from theater_bus.testing import build_guest, build_wat, guest, relay_guest, running_host
from theater_bus_supervisor import Supervisor, Supervisor0312

HERE = Path(__file__).parent
BOSS, CHAOS, RUNTIME, COUNTER = guest("boss", HERE / "guests"), guest("chaos"), guest("runtime"), guest("counter")
PAGE = HERE.parents[2] / "docs" / "reference" / "capabilities" / "supervisor.md"
TYPE, EARLIER = compile_capability("supervisor", Supervisor), compile_capability("supervisor", Supervisor0312)
HEAD = "802d3cc29f9e141e4809eb926ceb441206837da1c469d17333a6633b0e82908b"
FILE = '[chain]\ndurability = "file"\n'


def manifest(module: bytes, id: str | None = None, more: str = "") -> str:
    """A child's manifest that names its module by digest."""
    capabilities = {COUNTER.wasm: "", BOSS.wasm: "[capabilities.supervisor]\n[capabilities.runtime]\n"}
    state = {BOSS.wasm: '{ heard = "", plan = "" }'}.get(module, "0")
    lines = ['name = "child"', f'package = "sha256:{sha256(module).hexdigest()}"', f"initial_state = {state}"]
    if id is not None:
        lines.append(f'id = "{id}"')
    return "\n".join([*lines, more, capabilities.get(module, "[capabilities.runtime]\n")])


FAILS = 'on_failure = "stop"'


async def started(start_host: Any, *, settings: Any = None, **options: Any) -> tuple[Any, Any]:
    """A host that has the modules of the tests, and a boss on it."""
    host = await start_host(installed=["supervisor", "runtime"], **options)
    for module in (BOSS, CHAOS, RUNTIME, COUNTER):
        host.host.packages.hold(module.wasm)
    return host, await host.spawn(BOSS, id="boss", capabilities={"supervisor": settings or {}, "runtime": {}})


async def spawned(boss: Any, module: bytes, id: str | None = None, more: str = "") -> str:
    found = await boss.call_function("spawn", [manifest(module, id, more), None, None])
    return str(found)


async def hears(boss: Any, *lines: str) -> None:
    """Wait until the guest has heard this and nothing else; each question is an operation behind what waits."""
    async with asyncio.timeout(30):
        while len((await boss.call_function("heard")).splitlines()) < len(lines):
            continue
    assert sorted((await boss.call_function("heard")).splitlines()) == sorted(lines)


def keeper(host: Any, id: str = "boss") -> Any:
    return host.host.actors[id].capabilities["supervisor"]._keeper


# -- the contract ------------------------------------------------------------------------------------------------------


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


# -- spawning ----------------------------------------------------------------------------------------------------------


async def test_a_child_lives_under_its_parent(start_host: Any) -> None:
    host, boss = await started(start_host)
    first = await spawned(boss, COUNTER.wasm)
    second = await boss.call_function("spawn", [manifest(COUNTER.wasm, "boss-2"), 7, None])
    third = await boss.call_function("spawn", ['name = "bare"\ninitial_state = 1', 9, COUNTER.wasm])
    assert second == "boss-2"
    assert await boss.call_function("list") == [first, second, third]
    assert [await host.theater.actor(one).call_function("get") for one in (first, second, third)] == [0, 7, 9]
    [genesis] = [one.body for one in await host.theater.actor(first).get_chain().all() if one.type == "genesis"]
    assert genesis.parent_actor == "boss"
    assert host.host.actors[first].parent is host.host.actors["boss"]
    above, below = await boss.get_status(), await host.theater.actor(first).get_status()
    assert (above.parent, above.children, below.parent, below.children) == (None, 3, "boss", 0)


async def test_a_manifest_may_be_named_by_its_digest(start_host: Any) -> None:
    host, boss = await started(start_host)
    digest = host.host.packages.hold(manifest(COUNTER.wasm, "boss-1").encode())
    assert await boss.call_function("spawn", [f"sha256:{digest.hex()}", None, None]) == "boss-1"
    junk = host.host.packages.hold(b"\xff\xfe")
    with pytest.raises(GuestError, match="is no manifest: it is not UTF-8"):
        await boss.call_function("spawn", [f"sha256:{junk.hex()}", None, None])
    large = host.host.packages.hold(b"x" * 65_537)
    with pytest.raises(GuestError, match="a manifest at most 65,536"):
        await boss.call_function("spawn", [f"sha256:{large.hex()}", None, None])


COUNTS = f'package = "sha256:{sha256(COUNTER.wasm).hexdigest()}"'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "an actor may name no path"),
        ("../../etc/passwd", "an actor may name no path"),
        ("/etc/passwd\0", "an actor may name no path"),
        ("child.toml", "an actor may name no path"),
        ("sha256:../../x", "is neither a digest nor a reference"),
        ("sha256:" + "0" * 64, "no package with SHA-256"),
        ("file:///etc/passwd", r'does not name .file.\. Fix: `schemes = \["file"\]` in \[capabilities.supervisor\]'),
        ("x = ", "not TOML"),
        (f"name = 1\n{COUNTS}", "the child's manifest:1: name"),
        (f'name = "x"\nnonsense = 1\n{COUNTS}', "the child's manifest:2: nonsense is no setting"),
        ('name = "x"\npackage = "../../x.wasm"', "an actor may name no path"),
        ('name = "x"', "there is no module"),
        ('name = "x"\nid = "payments"\npackage = "sha256:0"', r'`ids = \["payments"\]` in \[capabilities.supervisor\]'),
        ('name = "x"\nid = "boss"\npackage = "sha256:0"', "the grant supervisor.ids does not name 'boss'"),
        ("x = 1 #" + "x" * 65_536, "at most 65,536 bytes"),
    ],
)
async def test_a_hostile_manifest_is_an_err_that_says_why(start_host: Any, text: str, problem: str) -> None:
    host, boss = await started(start_host)
    with pytest.raises(GuestError, match=problem):
        await boss.call_function("spawn", [text, None, None])
    assert sorted(host.host.actors) == ["boss"]


async def test_junk_as_a_module_is_an_err_and_costs_no_room(start_host: Any) -> None:
    host, boss = await started(start_host, settings={"package_bytes": 100_000})
    for junk in (b"", b"\0asm", b"x" * 1000):
        with pytest.raises(GuestError):
            await boss.call_function("spawn", ['name = "x"', None, junk])
    for _ in range(2):
        await boss.call_function("spawn", ['name = "x"\ninitial_state = 0', None, COUNTER.wasm])
    with pytest.raises(GuestError, match=r"`package_bytes = \d+` in \[capabilities.supervisor\]"):
        await boss.call_function("spawn", ['name = "x"', None, b"\0asm" + b"x" * 100_000])
    assert list(keeper(host)._packages.values()) == [COUNTER.wasm]
    for child in await boss.call_function("list"):
        await boss.call_function("stop", [child])
    assert keeper(host)._packages == {}


async def test_granted_ids_and_schemes_are_granted(start_host: Any) -> None:
    class Resolver:
        @staticmethod
        async def resolve(reference: str) -> bytes:
            return COUNTER.wasm if reference == "box://counter" else b"junk"

    plugin = SimpleNamespace(__name__="box", theater_package_resolvers=hookimpl(lambda: {"box": Resolver.resolve}))
    host = await start_host(plugin, installed=["supervisor", "runtime"])
    settings = {"schemes": ["box"], "ids": ["payments"]}
    boss = await host.spawn(BOSS, id="boss", capabilities={"supervisor": settings, "runtime": {}})
    text = 'name = "x"\nid = "payments"\ninitial_state = 3\npackage = "box://counter"'
    assert await boss.call_function("spawn", [text, None, None]) == "payments"
    with pytest.raises(GuestError, match="not WebAssembly"):
        await boss.call_function("spawn", [text.replace("counter", "else").replace("payments", "boss-1"), None, None])


async def test_a_child_has_no_capability_that_its_parent_lacks(start_host: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime"])
    host.host.packages.hold(RUNTIME.wasm)
    boss = await host.spawn(BOSS, id="boss", capabilities={"supervisor": {}})
    with pytest.raises(GuestError, match=r"Fix: add \[capabilities.runtime\] to the parent's manifest"):
        await spawned(boss, RUNTIME.wasm)


async def test_a_child_of_an_operation_that_fails_is_undone_and_nobody_hears_of_it(
    start_host: Any, eventually: Any
) -> None:
    host, boss = await started(start_host)
    with pytest.raises(GuestError, match="as I was told"):
        await boss.call_function("spawn-and-fail", [manifest(COUNTER.wasm, "boss-1"), None, None])
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("stop", ["boss-1"])
    await hears(boss, "stopped boss-1")


async def test_init_may_spawn(start_host: Any) -> None:
    host, _ = await started(start_host)
    plan = manifest(COUNTER.wasm, "early-1")
    early = await host.spawn(BOSS, id="early", state={"heard": "", "plan": plan})
    assert await early.call_function("list") == ["early-1"]
    with pytest.raises(SpawnRefused, match="init refused: there is no module"):
        await host.spawn(BOSS, id="never", state={"heard": "", "plan": 'name = "x"'})
    middle = 'name = "m"\nid = "top-1"\ninitial_state = { heard = "", plan = \'\'\'' + manifest(COUNTER.wasm, "top-1-1")
    middle += f"''' }}\npackage = \"sha256:{sha256(BOSS.wasm).hexdigest()}\"\n"
    middle += "[capabilities.supervisor]\n[capabilities.runtime]"
    await host.spawn(BOSS, id="top", state={"heard": "", "plan": middle})
    assert {"top", "top-1", "top-1-1"} < host.host.actors.keys()
    await host.theater.actor("top").shutdown(wait=True)
    assert sorted(host.host.actors) == ["boss", "early", "early-1"]


async def test_an_init_that_fails_after_it_has_spawned_leaves_no_child(start_host: Any) -> None:
    host, _ = await started(start_host)
    with pytest.raises(SpawnRefused, match="init refused: as I was told"):
        await host.spawn(BOSS, id="never", state={"heard": "", "plan": "!" + manifest(COUNTER.wasm, "never-1")})
    assert (sorted(host.host.actors), host.host._reserved) == (["boss"], set())


async def test_descendants_are_bounded_by_the_grant(start_host: Any) -> None:
    _, boss = await started(start_host, settings={"descendants": 1})
    await spawned(boss, COUNTER.wasm)
    with pytest.raises(GuestError, match=r"`descendants = 2` in \[capabilities.supervisor\] of boss"):
        await spawned(boss, COUNTER.wasm)


# -- waiting, resuming -------------------------------------------------------------------------------------------------


async def test_waiting_for_a_child_gives_its_result_and_tells_nothing_else(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    asked = asyncio.ensure_future(boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, None]))
    await eventually(lambda: "boss-1" in host.host.actors and host.host.actors["boss-1"].phases.is_running)
    assert capability(host).list_children() == []
    await host.theater.actor("boss-1").call_function("stop", [b"bye"])
    assert await asked == b"bye"
    assert await boss.call_function("heard") == ""
    for how, text in (("terminate", "boss-1 ended: terminated"), ("shutdown", "boss-1 ended: shutdown")):
        asked = asyncio.ensure_future(
            boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, None])
        )
        await eventually(lambda: "boss-1" in host.host.actors and host.host.actors["boss-1"].phases.is_running)
        await getattr(host.theater.actor("boss-1"), how)()
        with pytest.raises(GuestError, match=text):
            await asked
    assert (await boss.call_function("heard"), keeper(host)._table) == ("", {})


def capability(host: Any, id: str = "boss") -> Any:
    return host.host.actors[id].capabilities["supervisor"]


async def test_waiting_has_a_bound_after_which_the_child_is_stopped(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    with pytest.raises(GuestError, match="did not end within 20 ms; it is being stopped"):
        await boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, 20])
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    assert (await boss.call_function("heard"), keeper(host)._table) == ("", {})


async def test_a_wait_that_is_cut_ends_its_child(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    asked = asyncio.ensure_future(boss.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-1"), None, None]))
    await eventually(lambda: "boss-1" in host.host.actors and host.host.actors["boss-1"].phases.is_running)
    host.host.actors["boss"].cancel(lambda _: True, "the test says so")
    await asyncio.gather(asked, return_exceptions=True)
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    assert await boss.call_function("heard") == ""


async def test_resume_goes_on_from_a_state_without_init(start_host: Any) -> None:
    host, boss = await started(start_host)
    await boss.call_function("spawn", [manifest(COUNTER.wasm, "boss-1"), 5, None])
    state = await boss.call_function("child-state", ["boss-1"])
    assert state[:4] == b"CGRF"
    assert await boss.call_function("resume", [manifest(COUNTER.wasm, "boss-2"), state]) == "boss-2"
    assert await host.theater.actor("boss-2").call_function("get") == 5
    events = await host.theater.actor("boss-2").get_chain().all()
    assert [getattr(one.body, "function", one.type) for one in events] == ["genesis", "get", "get"]
    for junk in (b"", b"junk", state[:-1], state + b"x"):
        with pytest.raises(GuestError, match="the initial state does not fit"):
            await boss.call_function("resume", [manifest(COUNTER.wasm), junk])


async def test_resume_goes_on_from_the_last_state_of_a_chain(start_host: Any, tmp_path: Path) -> None:
    host = await start_host(installed=["supervisor", "runtime"], data_dir=tmp_path)
    host.host.packages.hold(COUNTER.wasm)
    boss = await host.spawn(BOSS, id="boss", chain={"durability": "file"})
    text = manifest(COUNTER.wasm, "boss-1", "[chain]\ndurability = 'file'")
    await boss.call_function("spawn", [text, 5, None])
    await host.theater.actor("boss-1").call_function("increment", [3])
    await boss.call_function("stop", ["boss-1"])
    with pytest.raises(GuestError, match="the chain of 'boss-1' is kept here; it ended"):
        await boss.call_function("spawn", [text, None, None])
    await boss.call_function("resume", [text, None])
    assert await host.theater.actor("boss-1").call_function("get") == 8
    assert (await host.host.file_store.genesis("boss-1")).origin is not None


# -- only one's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["restart", "stop", "child-state", "child-events", "subscribe", "unsubscribe"])
async def test_a_name_that_is_no_child_of_this_actor_is_refused(start_host: Any, function: str) -> None:
    host, boss = await started(start_host)
    other = await host.spawn(BOSS, id="other")
    await host.spawn(COUNTER, id="stranger")
    await spawned(other, COUNTER.wasm, "other-1")
    for name in ("other-1", "stranger", "boss", "other", "", "../../etc/passwd", "a\0b", "x" * 10_000, "*", ">"):
        with pytest.raises(GuestError, match="is no child of this actor, or it has ended"):
            await boss.call_function(function, [name])
    assert (await boss.call_function("list"), await other.call_function("list")) == ([], ["other-1"])
    assert sorted(host.host.actors) == ["boss", "other", "other-1", "stranger"]


async def test_ends_reach_the_parent_and_no_other(start_host: Any) -> None:
    host, boss = await started(start_host)
    other = await host.spawn(BOSS, id="other")
    await spawned(boss, RUNTIME.wasm, "boss-1")
    await spawned(other, RUNTIME.wasm, "other-1")
    await host.theater.actor("other-1").call_function("stop", [b"theirs"])
    await host.theater.actor("boss-1").call_function("stop", [b"mine"])
    await hears(boss, "exit boss-1 mine")
    await hears(other, "exit other-1 theirs")


async def test_a_child_that_an_operator_gave_the_actor_is_its_child(start_host: Any) -> None:
    host, boss = await started(start_host)
    await host.spawn(COUNTER, id="given", parent="boss", state=4)
    assert await boss.call_function("list") == ["given"]
    assert (await boss.call_function("child-state", ["given"]))[:4] == b"CGRF"
    with pytest.raises(GuestError, match="was spawned by others"):
        await boss.call_function("restart", ["given"])
    await boss.call_function("subscribe", ["given"])
    await boss.call_function("unsubscribe", ["given"])
    await boss.call_function("stop", ["given"])
    await hears(boss, "stopped given")


# -- ends, each told once ----------------------------------------------------------------------------------------------


async def test_each_way_to_end_is_told_once(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    theater = host.theater
    for module, id, more in (
        (RUNTIME.wasm, "boss-exit", ""),
        (RUNTIME.wasm, "boss-bare", ""),
        (CHAOS.wasm, "boss-fail", FAILS),
        (COUNTER.wasm, "boss-shutdown", ""),
        (COUNTER.wasm, "boss-terminate", ""),
        (COUNTER.wasm, "boss-stop", ""),
    ):
        await spawned(boss, module, id, more)
    await theater.actor("boss-exit").call_function("stop", [b"bye"])
    await theater.actor("boss-bare").call_function("stop", [None])
    with pytest.raises(Internal):
        await theater.actor("boss-fail").call_function("trap", ["unreachable"])
    await theater.actor("boss-shutdown").shutdown(wait=True)
    await theater.actor("boss-terminate").terminate(wait=True)
    await boss.call_function("stop", ["boss-stop"])
    assert await boss.call_function("list") == []
    await eventually(lambda: not keeper(host)._table and not keeper(host).teller.untold)
    found = (await boss.call_function("heard")).splitlines()
    assert next(one for one in found if one.startswith("error")).startswith("error boss-fail internal ")
    assert sorted(one for one in found if not one.startswith("error")) == [
        "exit boss-bare -",
        "exit boss-exit bye",
        "stopped boss-shutdown",
        "stopped boss-stop",
        "stopped boss-terminate",
    ]
    assert len(found) == 6


async def test_nobody_else_can_call_the_handlers(start_host: Any) -> None:
    _, boss = await started(start_host)
    with pytest.raises(FunctionNotFound):
        await boss.call_function("theater:simple/supervisor-handlers.handle-child-exit", ["x", None])


MUTE = """(module
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 16384))
  (data (i32.const 64) "CGRF\\02\\00\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00")
  (data (i32.const 80) "\\0b\\00\\00\\00\\04\\00\\00\\00\\00\\00\\00\\00")
  (func (export "__pack_alloc") (param i32) (result i32)
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get 0) (i32.const 7)) (i32.const -8)))))
  (func (export "__pack_free") (param i32 i32))
  (func (export "NAME") (param i32 i32 i32 i32) (result i32)
    (i32.store (local.get 2) (i32.const 64))
    (i32.store (local.get 3) (i32.const 28))
    (i32.const 0)))"""


async def mute(host: Any, export: str, params: str) -> Any:
    """An actor with one export, which answers with nothing, and with a child; its capability."""
    wasm = build_wat(MUTE.replace("NAME", export), f"exports {{ {export}: func({params}) }}")
    await host.spawn(wasm, id="mute", capabilities={"supervisor": {}})
    found = capability(host, "mute")
    await found.context.children.spawn(ChildSpec('name = "x"\ninitial_state = 0', COUNTER.wasm), "mute-1")
    return found


async def test_a_guest_without_handlers_hears_nothing_and_misses_nothing(start_host: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime"])
    found = await mute(host, "nothing", "")
    with pytest.raises(
        CapabilityError, match=r"the actor has no theater:simple/supervisor-handlers\.handle-child-event"
    ):
        found.subscribe_to_child("mute-1")
    await found.stop_child("mute-1")
    assert keeper(host, "mute").teller.untold == {}


async def test_a_guest_of_0_3_12_hears_of_events_without_the_childs_id(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime"])
    handler = "theater:simple/supervisor-handlers.handle-child-event"
    found = await mute(host, handler, "event-type: string, event-data: list<u8>")
    child = keeper(host, "mute").meet("mute-1")
    keeper(host, "mute").watch(child)
    await host.theater.actor("mute-1").call_function("increment", [1])
    await eventually(lambda: found._keeper.teller._waiting == 0)
    events = await host.theater.actor("mute").get_chain().all()
    assert [one.body.function for one in events if one.type == "result"] == [handler] * 2
    assert host.host.actors["mute"].failure_note is None


# -- restarting --------------------------------------------------------------------------------------------------------


async def test_restart_child_begins_anew_under_the_same_id_and_is_no_end(start_host: Any) -> None:
    host, boss = await started(start_host)
    await boss.call_function("spawn", [manifest(COUNTER.wasm, "boss-1"), 5, None])
    first = host.host.actors["boss-1"]
    await host.theater.actor("boss-1").call_function("increment", [1])
    await boss.call_function("restart", ["boss-1"])
    assert host.host.actors["boss-1"] is not first
    assert await host.theater.actor("boss-1").call_function("get") == 5
    assert await boss.call_function("list") == ["boss-1"]
    assert await boss.call_function("heard") == ""
    assert host.host.actors["boss-1"].grants == first.grants


def _full(actor_id: str) -> None:
    raise Overloaded(f"the host is full, says the test, and {actor_id} has no room")


async def test_a_restart_that_fails_is_an_err_and_the_end(start_host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    with monkeypatch.context() as patched:
        patched.setattr(host.host, "reserve", _full)
        with pytest.raises(GuestError, match=r"boss-1 was stopped and could not be started again: .*says the test"):
            await boss.call_function("restart", ["boss-1"])
    assert await boss.call_function("list") == []
    found = await boss.call_function("heard")
    assert found.startswith("error boss-1 internal")
    assert len(found.splitlines()) == 1


async def crash(host: Any, child: str) -> None:
    with pytest.raises(Internal):
        await host.theater.actor(child).call_function("trap", ["unreachable"])


async def new(host: Any, eventually: Any, before: dict[str, Any], *children: str) -> None:
    """Wait until these, and no others, are actors anew."""
    await eventually(
        lambda: all(
            one in host.host.actors
            and host.host.actors[one] is not before[one]
            and not keeper(host)._table[one].is_renewed
            for one in children
        )
    )
    assert [one for one in before if host.host.actors[one] is not before[one]] == list(children)


@pytest.mark.parametrize(
    ("strategy", "anew"),
    [
        ("one-for-one", ["boss-2"]),
        ("one-for-all", ["boss-1", "boss-2", "boss-3"]),
        ("rest-for-one", ["boss-2", "boss-3"]),
    ],
)
async def test_a_strategy_restarts_whom_it_says(
    start_host: Any, eventually: Any, strategy: str, anew: list[str]
) -> None:
    host, boss = await started(start_host, settings={"strategy": strategy})
    for number in (1, 2, 3):
        await spawned(boss, CHAOS.wasm, f"boss-{number}", FAILS)
    await spawned(boss, COUNTER.wasm, "boss-x")
    await boss.call_function("stop", ["boss-x"])
    before = {f"boss-{number}": host.host.actors[f"boss-{number}"] for number in (1, 2, 3)}
    await host.theater.actor("boss-2").call_function("touch")
    await crash(host, "boss-2")
    await new(host, eventually, before, *anew)
    assert sorted(await boss.call_function("list")) == ["boss-1", "boss-2", "boss-3"]
    found = (await boss.call_function("heard")).splitlines()
    assert (len(found), found[0]) == (2, "stopped boss-x")
    assert found[1].startswith("error boss-2 internal ")
    assert await host.theater.actor("boss-2").call_function("count") == 0
    before = {one: host.host.actors[one] for one in before}
    await crash(host, "boss-2")
    await new(host, eventually, before, *anew)


@pytest.mark.parametrize(("restart", "again"), [("failed", False), ("always", True)])
async def test_an_exit_is_answered_by_a_restart_only_where_that_is_asked_for(
    start_host: Any, eventually: Any, restart: str, again: bool
) -> None:
    host, boss = await started(start_host, settings={"strategy": "one-for-one", "restart": restart})
    await spawned(boss, RUNTIME.wasm, "boss-1")
    first = host.host.actors["boss-1"]
    await host.theater.actor("boss-1").call_function("stop", [b"done"])
    await hears(boss, "exit boss-1 done")
    if again:
        await new(host, eventually, {"boss-1": first}, "boss-1")
    assert (await boss.call_function("list") == ["boss-1"]) is again
    if again:
        await boss.call_function("stop", ["boss-1"])
        assert await boss.call_function("list") == []


async def test_too_many_restarts_end_the_supervisor_and_its_parent_hears_of_it(
    start_host: Any, eventually: Any
) -> None:
    host, boss = await started(start_host)
    settings = 'strategy = "one-for-one"\nmax_restarts = 2\nbackoff_ms = 1\n'
    text = manifest(BOSS.wasm, "boss-m").replace(
        "[capabilities.supervisor]\n", f"[capabilities.supervisor]\n{settings}"
    )
    await boss.call_function("spawn", [text, None, None])
    middle = host.theater.actor("boss-m")
    await spawned(middle, CHAOS.wasm, "boss-m-1", FAILS)
    await spawned(middle, COUNTER.wasm, "boss-m-2")
    for _ in range(2):
        before = host.host.actors["boss-m-1"]
        await crash(host, "boss-m-1")
        await eventually(
            lambda before=before: (
                host.host.actors.get("boss-m-1", before) is not before
                and not keeper(host, "boss-m")._table["boss-m-1"].is_renewed
            )
        )
    await crash(host, "boss-m-1")
    await eventually(lambda: sorted(host.host.actors) == ["boss"])
    [line] = (await boss.call_function("heard")).splitlines()
    assert line.startswith("error boss-m internal boss-m-1 ended after 2 restarts of children within 60 s")


async def test_a_restart_that_is_refused_is_tried_again_and_counted(
    start_host: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"strategy": "one-for-one", "backoff_ms": 1, "max_restarts": 1000}
    host, boss = await started(start_host, settings=settings)
    await spawned(boss, CHAOS.wasm, "boss-1", FAILS)
    running = host.host.actors["boss"]
    with monkeypatch.context() as patched:
        patched.setattr(host.host, "reserve", _full)
        await crash(host, "boss-1")
        await eventually(lambda: running.failure_note is not None and "could not be restarted" in running.failure_note)
        with pytest.raises(GuestError, match="boss-1 is being restarted"):
            await boss.call_function("restart", ["boss-1"])
    await eventually(lambda: "boss-1" in host.host.actors and not keeper(host)._table["boss-1"].is_renewed)
    assert await boss.call_function("list") == ["boss-1"]


async def test_a_child_that_waits_for_its_restart_can_be_stopped(start_host: Any, eventually: Any) -> None:
    settings = {"strategy": "one-for-one", "backoff_ms": 30_000, "max_restarts": 1000}
    host, boss = await started(start_host, settings=settings)
    await spawned(boss, CHAOS.wasm, "boss-1", FAILS)
    before = {"boss-1": host.host.actors["boss-1"]}
    await crash(host, "boss-1")
    await new(host, eventually, before, "boss-1")
    await crash(host, "boss-1")
    await eventually(lambda: keeper(host)._table["boss-1"].is_renewed and "boss-1" not in host.host.actors)
    await boss.call_function("stop", ["boss-1"])
    with pytest.raises(GuestError, match="is no child of this actor"):
        await boss.call_function("stop", ["boss-1"])
    assert await boss.call_function("list") == []
    await spawned(boss, COUNTER.wasm, "boss-1")
    assert (await boss.call_function("list"), list(keeper(host)._used.values())) == (["boss-1"], [1])
    assert [one.split()[:2] for one in await _heard(boss, 2)] == [["error", "boss-1"]] * 2


async def test_the_end_of_a_supervisor_ends_its_restarts(start_host: Any, eventually: Any) -> None:
    settings = {"strategy": "one-for-all", "backoff_ms": 30_000, "max_restarts": 1000}
    host, boss = await started(start_host, settings=settings)
    await spawned(boss, CHAOS.wasm, "boss-1", FAILS)
    await spawned(boss, CHAOS.wasm, "boss-2", FAILS)
    before = {"boss-1": host.host.actors["boss-1"], "boss-2": host.host.actors["boss-2"]}
    await crash(host, "boss-1")
    await new(host, eventually, before, "boss-1", "boss-2")
    await crash(host, "boss-1")
    restarter = keeper(host)._restarter
    await eventually(lambda: restarter._tasks)
    await boss.shutdown(wait=True)
    assert (host.host.actors, restarter._tasks) == ({}, set())


async def test_no_restart_nor_resume_widens_a_grant(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["supervisor", "runtime", "timer"], grants={"timer": {"rate": 50}, "*": {}})
    host.host.packages.hold(CHAOS.wasm)
    settings = {"supervisor": {"strategy": "one-for-one"}, "runtime": {}, "timer": {"timers": 3, "rate": 900}}
    boss = await host.spawn(BOSS, id="boss", capabilities=settings)
    text = manifest(CHAOS.wasm, "boss-1", FAILS) + "[capabilities.timer]\ntimers = 1000\nrate = 1000\nwaiting = 7\n"
    await boss.call_function("spawn", [text, None, None])
    first = host.host.actors["boss-1"]
    assert first.capabilities["timer"].settings.model_dump(include={"timers", "rate", "waiting"}) == {
        "timers": 3,
        "rate": 50,
        "waiting": 7,
    }
    await boss.call_function("restart", ["boss-1"])
    grants = [host.host.actors["boss-1"].grants]
    before = host.host.actors["boss-1"]
    await crash(host, "boss-1")
    await new(host, eventually, {"boss-1": before}, "boss-1")
    grants.append(host.host.actors["boss-1"].grants)
    await boss.call_function("resume", [text.replace("boss-1", "boss-2"), None])
    grants.append(host.host.actors["boss-2"].grants)
    assert grants == [first.grants] * 3


# -- events ------------------------------------------------------------------------------------------------------------


async def test_events_come_only_when_asked_for_and_as_references(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    child = host.theater.actor("boss-1")
    await child.call_function("increment", [1])
    assert await boss.call_function("heard") == ""
    for _ in range(2):
        await boss.call_function("subscribe", ["boss-1"])
    await child.call_function("increment", [1])
    found = await _heard(boss, 2)
    recorded = {one.seq: one for one in await child.get_chain().all()}
    for line, type_ in zip(found, ("call", "result"), strict=True):
        word, child_id, told, data = line.split(" ", 3)
        reference = json.loads(data)
        assert (word, child_id, told) == ("event", "boss-1", type_)
        assert recorded[reference["seq"]].hash.hex() == reference["hash"]
        assert len(data) < 220
    for _ in range(2):
        await boss.call_function("unsubscribe", ["boss-1"])
    await child.call_function("increment", [1])
    assert await boss.call_function("child-events", ["boss-1"]) == len(await child.get_chain().all())
    assert (await boss.call_function("heard")).splitlines() == found
    operations = [one.body.function for one in await boss.get_chain().all() if one.type == "call"]
    assert operations.count("theater:simple/supervisor-handlers.handle-child-event") == 2


async def _heard(boss: Any, count: int) -> list[str]:
    async with asyncio.timeout(30):
        while len(found := (await boss.call_function("heard")).splitlines()) < count:
            continue
    return list(found)


async def test_an_event_is_not_more_at_every_level(start_host: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, BOSS.wasm, "boss-m")
    middle = host.theater.actor("boss-m")
    await spawned(middle, COUNTER.wasm, "boss-m-1")
    await middle.call_function("subscribe", ["boss-m-1"])
    await boss.call_function("subscribe", ["boss-m"])
    await host.theater.actor("boss-m-1").call_function("increment", [1])
    await _heard(middle, 2)
    told = [one.split(" ")[2] for one in await _heard(boss, 1)]
    assert "host-call" not in told
    calls = [one.body.function for one in await middle.get_chain().all() if one.type == "call"]
    handled = calls.count("theater:simple/supervisor-handlers.handle-child-event")
    asked = len(calls) - handled - 2
    assert (handled, len([one for one in told if one == "call"]) <= asked + 1) == (2, True)


async def test_a_flood_of_events_leaves_a_gap_and_room_for_callers(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("subscribe", ["boss-1"])
    child = host.theater.actor("boss-1")
    await boss.pause()
    for _ in range(200):
        await child.call_function("increment", [1])
    teller = keeper(host).teller
    assert (teller._waiting, list(teller._gaps)) == (256, ["boss-1"])
    assert host.host.actors["boss"].mailbox.enqueues == 16
    await boss.resume()
    found = await _heard(boss, 257)
    gap = json.loads(found[-1].split(" ", 3)[3])
    assert found[-1].split(" ")[2] == "gap"
    assert json.loads(found[-2].split(" ", 3)[3])["seq"] == gap["from"] - 1
    assert gap["to"] == (await child.get_chain().all())[-1].seq


async def test_a_subscription_changes_with_its_operation_and_ends_with_its_child(start_host: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("subscribe", ["boss-1"])
    await boss.call_function("restart", ["boss-1"])
    assert keeper(host)._table["boss-1"].unwatch is not None
    await boss.call_function("stop", ["boss-1"])
    assert "boss-1" not in host.host._watching._hearing


async def test_a_parent_that_serves_the_child_it_watches_does_not_hang(start_host: Any) -> None:
    """The subscriber is the parent of the producer, and stops it while its events wait."""
    host, boss = await started(start_host)
    await spawned(boss, COUNTER.wasm, "boss-1")
    await boss.call_function("subscribe", ["boss-1"])
    child = host.theater.actor("boss-1")
    await asyncio.gather(*(child.call_function("increment", [1]) for _ in range(50)))
    await boss.call_function("stop", ["boss-1"])
    assert await boss.call_function("list") == []


# -- nothing hangs -----------------------------------------------------------------------------------------------------


async def test_state_and_events_are_given_while_the_child_is_busy(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host)
    await spawned(boss, BOSS.wasm, "boss-m")
    middle = host.theater.actor("boss-m")
    busy = asyncio.ensure_future(
        middle.call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-m-1"), None, None])
    )
    await eventually(lambda: "boss-m-1" in host.host.actors and host.host.actors["boss-m-1"].phases.is_running)
    assert (await boss.call_function("child-state", ["boss-m"]))[:4] == b"CGRF"
    assert await boss.call_function("child-events", ["boss-m"]) > 0
    assert await boss.call_function("list") == ["boss-m"]
    await host.theater.actor("boss-m-1").call_function("stop", [None])
    assert await busy is None


async def test_a_busy_child_is_stopped_within_the_parents_own_time(start_host: Any, eventually: Any) -> None:
    host, boss = await started(start_host, settings={"stop_ms": 50}, grace_ms=3_600_000)
    await spawned(boss, BOSS.wasm, "boss-m")
    busy = asyncio.ensure_future(
        host.theater.actor("boss-m").call_function("spawn-and-wait", [manifest(RUNTIME.wasm, "boss-m-1"), None, None])
    )
    await eventually(lambda: "boss-m-1" in host.host.actors and host.host.actors["boss-m-1"].phases.is_running)
    await boss.call_function("stop", ["boss-m"])
    assert sorted(host.host.actors) == ["boss"]
    await asyncio.gather(busy, return_exceptions=True)
    await hears(boss, "stopped boss-m")


# -- recovery ----------------------------------------------------------------------------------------------------------


async def test_a_recovered_supervisor_has_its_children_and_hears_of_those_that_are_lost(
    theater_server: Any, tmp_path: Path, eventually: Any
) -> None:
    options: dict[str, Any] = {
        "installed": ["supervisor", "runtime"],
        "data_dir": tmp_path,
        "namespace": "supervisor-comes-back",
        "server": theater_server,
    }
    async with running_host(**options) as host:
        settings = {"supervisor": {"strategy": "one-for-one"}, "runtime": {}}
        boss = await host.spawn(BOSS, id="boss", chain={"durability": "file"}, capabilities=settings)
        for id, more, module in (("boss-1", FILE, COUNTER), ("boss-2", "", COUNTER), ("boss-3", FILE, CHAOS)):
            text = re.sub("package = .*\n", "", manifest(module.wasm, id, more if module is COUNTER else FAILS))
            text += more if module is not COUNTER else ""
            await boss.call_function("spawn", [text, 5, module.wasm])
        await boss.call_function("subscribe", ["boss-1"])
        await host.theater.actor("boss-1").call_function("increment", [1])
        await _heard(boss, 2)
    async with running_host(**options) as host:
        boss = host.theater.actor("boss")
        await eventually(lambda: not keeper(host)._table["boss-2"].is_renewed)
        assert sorted(await boss.call_function("list")) == ["boss-1", "boss-2", "boss-3"]
        found = await _heard(boss, 3)
        assert found[2] == "error boss-2 internal it did not come back with its host"
        await host.theater.actor("boss-1").call_function("increment", [1])
        assert len(await _heard(boss, 5)) == 5
        await boss.call_function("restart", ["boss-1"])
        assert await host.theater.actor("boss-1").call_function("get") == 5
        before = host.host.actors["boss-3"]
        await crash(host, "boss-3")
        await eventually(lambda: host.host.actors.get("boss-3") not in (None, before))
        await eventually(lambda: not keeper(host).teller.untold)


async def test_an_end_that_was_not_told_is_told_after_the_recovery(
    theater_server: Any, tmp_path: Path, eventually: Any
) -> None:
    options: dict[str, Any] = {
        "installed": ["supervisor", "runtime"],
        "data_dir": tmp_path,
        "namespace": "untold",
        "server": theater_server,
    }
    async with running_host(**options) as host:
        boss = await host.spawn(BOSS, id="boss", chain={"durability": "file"})
        host.host.packages.hold(RUNTIME.wasm)
        await spawned(boss, RUNTIME.wasm, "boss-1")
        await boss.pause()
        await host.theater.actor("boss-1").call_function("stop", [b"late"])
        await eventually(lambda: keeper(host).teller.untold)
    async with running_host(**options) as host:
        boss = host.theater.actor("boss")
        await boss.resume()
        await hears(boss, "exit boss-1 late")
        await eventually(lambda: not keeper(host).teller.untold)
    async with running_host(**options) as host:
        await hears(host.theater.actor("boss"), "exit boss-1 late")


# -- guests of 0.3.12 --------------------------------------------------------------------------------------------------


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
