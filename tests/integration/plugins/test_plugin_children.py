"""Supervision as the host keeps it: whose child an actor is, what it gets, how it ends, who hears of that, and when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from theater_bus.capability import Capability, CapabilityError, ChildEnd, ChildEvent, Children, ChildSpec, Context
from theater_bus.core.chain.events import decode_event
from theater_bus.core.lifecycle import StopReason
from theater_bus.errors import (
    ActorError,
    ActorExists,
    ActorNotFound,
    Cancelled,
    Overloaded,
    ShuttingDown,
    SpawnRefused,
    TypeMismatch,
)
from theater_bus.telemetry import Telemetry
from theater_bus.telemetry.conformance import LogCollector, emitted
from theater_bus.telemetry.registry import REGISTRY
from theater_bus.testing import build_component, build_wat, running_host
from theater_bus.testing.running import Relay

FAILS = 'name = "chaos"\ninitial_state = 0\non_failure = "stop"\n[capabilities.runtime]\n'
EXITS = 'name = "runtime"\ninitial_state = 0\n[capabilities.runtime]\n'
COUNTS = 'name = "counter"\ninitial_state = 5\n'
HAS = {"nursery": {}, "runtime": {}}

PACT = """
@package: string = "test:nursery"

interface nursery {
    exports {
        spawn: func(manifest: string) -> result<string, string>
        spawn-and-hang: func(manifest: string) -> result<string, string>
        hang: func()
        call-parent: func()
    }
}
"""


class Nursery(Capability):
    """Spawns counters (and nurseries, by `manifest`), and keeps what it hears. A test has its own subclass."""

    name = "nursery"
    pact = PACT
    ends: ClassVar[dict[str, list[ChildEnd]]] = {}
    back: ClassVar[dict[str, list[list[str]]]] = {}
    by_id: ClassVar[dict[str, Nursery]] = {}
    failures: ClassVar[list[str]] = []
    wasm: ClassVar[bytes] = b""
    counter: ClassVar[bytes] = b""

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self.by_id[context.actor.id] = self
        self.ends.setdefault(context.actor.id, [])

    @property
    def children(self) -> Children:
        return self.context.children

    async def start(self) -> None:
        self.children.listen(self.ends[self.context.actor.id].append, self._recovered)

    def _recovered(self) -> None:
        self.back.setdefault(self.context.actor.id, []).append(self.children.ids())

    async def spawn(self, manifest: str) -> str:
        wasm = type(self).wasm if "nursery" in manifest else type(self).counter
        try:
            return await self.children.spawn(ChildSpec(manifest, wasm))
        except ActorError as error:
            raise CapabilityError(str(error)) from error

    async def spawn_and_hang(self, manifest: str) -> str:
        await self.spawn(manifest)
        await self.hang()
        return ""

    async def call_parent(self) -> None:
        """Call the actor that waits for this one."""
        try:
            await self.context.call_actor("parent", "hang")
        except ActorError as error:
            self.failures.append(error.code)
            raise

    async def hang(self) -> None:
        await asyncio.get_running_loop().create_future()


@pytest.fixture
def nursery(relay: Relay, counter: bytes) -> type[Nursery]:
    """A class of its own for every test, so that nothing is shared."""
    made = type("TestNursery", (Nursery,), {"ends": {}, "back": {}, "by_id": {}, "failures": []})
    made.wasm, made.counter = relay(made), counter
    return made


@pytest.fixture
def counter(wasm_of: Callable[[str], bytes]) -> bytes:
    """The counter, as each kind in turn."""
    return wasm_of("counter")


@pytest.fixture
def runtime(wasm_of: Callable[[str], bytes]) -> bytes:
    """The guest that can end itself, as each kind in turn."""
    return wasm_of("runtime")


async def hosted(start_host: Any, nursery: type[Nursery], **settings: Any) -> tuple[Any, Any, Children]:
    """A host, a parent on it and the parent's children."""
    host = await start_host(nursery, installed=["runtime"], **settings)
    parent = await host.spawn(nursery, id="parent", capabilities=HAS)
    return host, parent, nursery.by_id["parent"].children


async def test_a_child_has_its_parent_in_genesis_and_is_listed(
    start_host: Any, nursery: Any, counter: Any, bodies: Any
) -> None:
    host, parent, children = await hosted(start_host, nursery)
    first = (await parent.call_function("spawn", [COUNTS]))[0]["ok"]
    second = await children.spawn(ChildSpec(COUNTS + 'id = "second"', counter, state=7))
    assert children.ids() == [first, second]
    assert second == "second"
    assert await host.theater.actor(second).call_function("get") == 7
    [genesis] = await bodies(host.theater.actor(first), "genesis")
    assert genesis.parent_actor == "parent"


ENDS: dict[str, tuple[Callable[[Any], Any], ChildEnd]] = {
    "exit": (
        lambda child: child.call_function("stop", [b"bye"]),
        ChildEnd("child", "exited", b"bye"),
    ),
    "shutdown": (lambda child: child.shutdown(), ChildEnd("child", "shutdown")),
    "terminate": (lambda child: child.terminate(), ChildEnd("child", "terminated")),
}


@pytest.mark.parametrize("how", sorted(ENDS))
async def test_each_end_is_told_once(start_host: Any, nursery: Any, runtime: Any, eventually: Any, how: str) -> None:
    host, _, children = await hosted(start_host, nursery)
    await children.spawn(ChildSpec(EXITS, runtime), "child")
    do, end = ENDS[how]
    await do(host.theater.actor("child"))
    await eventually(lambda: nursery.ends["parent"])
    assert nursery.ends["parent"] == [end]
    assert children.ids() == []
    with pytest.raises(ActorNotFound, match="'child' is no child of parent, or it has ended"):
        children.state("child")
    await children.spawn(ChildSpec(EXITS, runtime), "child")
    await host.host.close()
    assert nursery.ends["parent"] == [end, ChildEnd("child", "shutdown")]


async def test_a_failure_is_told_with_its_code_and_text(
    start_host: Any, nursery: Any, wasm_of: Any, eventually: Any
) -> None:
    host, _, children = await hosted(start_host, nursery)
    await children.spawn(ChildSpec(FAILS, wasm_of("chaos")), "child")
    with pytest.raises(ActorError):
        await host.theater.actor("child").call_function("trap", ["unreachable"])
    await eventually(lambda: nursery.ends["parent"])
    [end] = nursery.ends["parent"]
    assert (end.child, end.reason, end.code) == ("child", "failed", "guest-trap")
    assert "unreachable" in end.message


async def test_stop_waits_and_end_does_not(start_host: Any, nursery: Any, counter: Any, eventually: Any) -> None:
    host, _, children = await hosted(start_host, nursery)
    for child in ("a", "b", "c"):
        await children.spawn(ChildSpec(COUNTS, counter), child)
    await children.stop("a")
    assert ("a" in host.host.actors, nursery.ends["parent"]) == (False, [ChildEnd("a", "shutdown")])
    children.end("b", at_once=True)
    children.end("c")
    await eventually(lambda: len(nursery.ends["parent"]) == 3)
    assert {end.child: end.reason for end in nursery.ends["parent"]} == {
        "a": "shutdown",
        "b": "terminated",
        "c": "shutdown",
    }


async def test_only_own_children_can_be_named(start_host: Any, nursery: Any, counter: Any) -> None:
    host, _, children = await hosted(start_host, nursery)
    await host.spawn(nursery, id="other", capabilities=HAS)
    await host.spawn(counter, id="stranger", initial_state=0)
    theirs = nursery.by_id["other"].children
    await theirs.spawn(ChildSpec(COUNTS, counter), "theirs")
    assert (children.ids(), theirs.ids()) == ([], ["theirs"])
    for name in ("theirs", "stranger", "parent", "other", "", "../x", "x" * 100):
        for ask in (children.state, children.end, lambda one: children.watch(one, print)):
            with pytest.raises(ActorNotFound):
                ask(name)
        with pytest.raises(ActorNotFound):
            await children.stop(name)
        with pytest.raises(ActorNotFound):
            await children.events(name, 100)
    assert sorted(host.host.actors) == ["other", "parent", "stranger", "theirs"]


async def test_a_child_gets_no_more_than_its_parent_has(start_host: Any, nursery: Any, runtime: Any) -> None:
    host = await start_host(nursery, installed=["runtime"])
    await host.spawn(nursery, id="poor", capabilities={"nursery": {}})
    with pytest.raises(SpawnRefused, match=r"'runtime' is not granted by the parent"):
        await nursery.by_id["poor"].children.spawn(ChildSpec(EXITS, runtime))
    assert sorted(host.host.actors) == ["poor"]
    assert nursery.ends["poor"] == []


@pytest.mark.parametrize(
    ("manifest", "given", "error", "problem"),
    [
        ("", {}, SpawnRefused, "the child's manifest: .?name.? is missing"),
        ("\0", {}, SpawnRefused, "the child's manifest: not TOML"),
        ('name = "../x"', {}, SpawnRefused, "the child's manifest:1: name"),
        ('name = "x"\nid = "parent"', {"state": 1}, ActorExists, "an actor 'parent' lives already"),
        (COUNTS, {"package": b""}, SpawnRefused, "not WebAssembly"),
        (COUNTS, {"state": "seven"}, SpawnRefused, "the initial state does not fit"),
        (COUNTS, {"cgrf": b"junk"}, SpawnRefused, "the initial state does not fit"),
        (COUNTS + '[chain]\ndurability = "file"', {}, SpawnRefused, "without its parent"),
    ],
)
async def test_a_wrong_spec_is_refused_and_leaves_nothing(
    start_host: Any,
    nursery: Any,
    counter: bytes,
    tmp_path: Path,
    manifest: str,
    given: dict[str, Any],
    error: type[ActorError],
    problem: str,
) -> None:
    host, _, children = await hosted(start_host, nursery, data_dir=tmp_path)
    spec = replace(ChildSpec(manifest, counter), **given)
    with pytest.raises(error, match=problem):
        await children.spawn(spec)
    assert (children.ids(), sorted(host.host.actors)) == ([], ["parent"])
    assert host.host.actors["parent"].household.count == 0


async def test_a_resumed_child_goes_on_from_the_state_of_another(start_host: Any, nursery: Any, runtime: Any) -> None:
    host, _, children = await hosted(start_host, nursery)
    await children.spawn(ChildSpec(EXITS, runtime), "first")
    await host.theater.actor("first").call_function("log", ["x"])
    state = children.state("first")
    assert state is not None
    await children.spawn(ChildSpec(EXITS, runtime, cgrf=state, resumed=True), "second")
    assert children.state("second") == state
    functions = [event.type for event in await host.theater.actor("second").get_chain().all()]
    assert functions == ["genesis"]


async def test_descendants_are_bounded_over_all_generations(start_host: Any, nursery: Any, counter: Any) -> None:
    host, _, children = await hosted(start_host, nursery)
    children.limit(descendants=3, stop_s=5.0)
    await children.spawn(ChildSpec('name = "m"\nid = "middle"\n[capabilities.nursery]', nursery.wasm))
    below = nursery.by_id["middle"].children
    await below.spawn(ChildSpec(COUNTS, counter), "a")
    await below.spawn(ChildSpec(COUNTS, counter), "b")
    with pytest.raises(Overloaded, match="there are 3 actors below parent, as many as the grant supervisor") as refused:
        await below.spawn(ChildSpec(COUNTS, counter))
    assert "`descendants = 4` in [capabilities.supervisor] of parent" in refused.value.message
    with pytest.raises(Overloaded):
        await children.spawn(ChildSpec(COUNTS, counter))
    await children.stop("middle")
    assert host.host.actors["parent"].household.count == 0
    assert sorted(host.host.actors) == ["parent"]


async def test_children_end_before_their_parent_and_spawns_under_way_too(
    start_host: Any, nursery: Any, counter: Any, eventually: Any
) -> None:
    order: list[str] = []
    host, parent, children = await hosted(start_host, nursery)
    await children.spawn(ChildSpec('name = "m"\nid = "middle"\n[capabilities.nursery]', nursery.wasm))
    await nursery.by_id["middle"].children.spawn(ChildSpec(COUNTS, counter), "leaf")
    for actor in host.host.actors.values():
        actor.phases._observer = lambda _, after, id=actor.identity.id: order.append(f"{id} {after.value}")
    await parent.shutdown(wait=True)
    stopped = [one for one in order if one.endswith(" stopped")]
    assert stopped == ["leaf stopped", "middle stopped", "parent stopped"]
    assert order[0] == "parent stopping"
    with pytest.raises(ShuttingDown):
        await children.spawn(ChildSpec(COUNTS, counter))
    assert nursery.ends == {"parent": [ChildEnd("middle", "shutdown")], "middle": [ChildEnd("leaf", "shutdown")]}


async def test_a_child_that_does_not_end_in_time_is_terminated_by_the_parents_own_deadline(
    start_host: Any, nursery: Any, eventually: Any
) -> None:
    host, parent, children = await hosted(start_host, nursery, grace_ms=3_600_000)
    children.limit(descendants=10, stop_s=0.05)
    await children.spawn(ChildSpec('name = "m"\nid = "busy"\n[capabilities.nursery]', nursery.wasm))
    call = asyncio.ensure_future(host.theater.actor("busy").call_function("hang"))
    await eventually(lambda: host.host.actors["busy"].current is not None)
    await parent.shutdown(wait=True)
    assert nursery.ends["parent"] == [ChildEnd("busy", "terminated")]
    with pytest.raises(ActorError):
        await call


async def test_terminate_overtakes_a_shutdown_also_for_the_children(
    start_host: Any, nursery: Any, eventually: Any
) -> None:
    host, parent, children = await hosted(start_host, nursery, grace_ms=3_600_000)
    children.limit(descendants=10, stop_s=3600.0)
    await children.spawn(ChildSpec('name = "m"\nid = "busy"\n[capabilities.nursery]', nursery.wasm))
    call = asyncio.ensure_future(host.theater.actor("busy").call_function("hang"))
    await eventually(lambda: host.host.actors["busy"].current is not None)
    await parent.shutdown(wait=False)
    await eventually(lambda: host.host.actors["busy"].phases.reason is StopReason.SHUTDOWN)
    await parent.terminate(wait=True)
    assert nursery.ends["parent"] == [ChildEnd("busy", "terminated")]
    with pytest.raises(ActorError):
        await call


async def test_a_parent_that_ends_while_it_spawns_leaves_no_child(
    start_host: Any, nursery: Any, eventually: Any
) -> None:
    host, parent, _ = await hosted(start_host, nursery)
    call = asyncio.ensure_future(parent.call_function("spawn-and-hang", [COUNTS + 'id = "late"']))
    await eventually(lambda: "late" in host.host.actors or "late" in host.host.roster._reserved)
    await parent.terminate(wait=True)
    assert host.host.actors == {}
    with pytest.raises(ActorError):
        await call


async def test_an_operation_that_is_cut_cuts_the_spawn_that_it_waits_for(
    start_host: Any, nursery: Any, init_that_calls: Any, eventually: Any
) -> None:
    host, parent, _ = await hosted(start_host, nursery)
    nursery.wasm = init_that_calls("hang")
    running = host.host.actors["parent"]
    manifest = 'name = "hang"\nid = "hang"\ninitial_state = 0\n[capabilities.nursery]'
    call = asyncio.ensure_future(parent.call_function("spawn", [manifest]))
    await eventually(lambda: "hang" in nursery.by_id and running.household.newborn)
    assert running.cancel(lambda _: True, "the test says so") == "running"
    with pytest.raises(Cancelled):
        await call
    await eventually(lambda: not running.household.newborn)
    assert (sorted(host.host.actors), host.host.roster._reserved) == (["parent"], set())
    assert (running.household.count, nursery.ends["parent"]) == (0, [])


async def test_a_child_whose_init_calls_the_parent_that_waits_for_it_is_refused_at_once(
    start_host: Any, nursery: Any, init_that_calls: Any
) -> None:
    host, parent, _ = await hosted(start_host, nursery)
    nursery.wasm = init_that_calls("call-parent")
    manifest = 'name = "circle"\ninitial_state = 0\n[capabilities.nursery]'
    [answer] = await parent.call_function("spawn", [manifest])
    assert "a capability failed while theater:simple/actor.init ran" in answer["err"]
    assert nursery.failures == ["call-cycle"]
    assert sorted(host.host.actors) == ["parent"]


INIT_PACT = """
imports { test:nursery/nursery { NAME: func() } }
exports { theater:simple/actor.init: func(state: u64) -> result<tuple<u64>, string> }
"""
INIT_MODULE = r"""(module
  (import "test:nursery/nursery" "NAME" (func $call (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "CGRF\02\00\00\00\01\00\00\00\00\00\00\00")
  (data (i32.const 80) "\0b\00\00\00\04\00\00\00\00\00\00\00")
  (global $top (mut i32) (i32.const 32768))
  (func (export "__pack_alloc") (param i32) (result i32)
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get 0) (i32.const 7)) (i32.const -8)))))
  (func (export "__pack_free") (param i32 i32))
  (func (export "theater:simple/actor.init") (param i32 i32 i32 i32) (result i32)
    (call $call (i32.const 64) (i32.const 28) (i32.const 512) (i32.const 516))))"""
INIT_COMPONENT = """(module
  (import "test:nursery/nursery" "NAME" (func $call))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
  (func (export "theater:simple/actor#init") (param i64) (result i32) (call $call) (unreachable)))"""


@pytest.fixture
def init_that_calls(kind: str) -> Callable[[str], bytes]:
    """`init_that_calls("hang")`: a guest whose init calls that function and does not come back by itself."""
    text, build = (INIT_MODULE, build_wat) if kind == "module" else (INIT_COMPONENT, build_component)
    return lambda function: build(text.replace("NAME", function), INIT_PACT.replace("NAME", function))


async def test_events_of_a_child_come_as_references_until_nobody_listens(
    start_host: Any, nursery: Any, counter: Any
) -> None:
    host, parent, children = await hosted(start_host, nursery)
    await children.spawn(ChildSpec(COUNTS, counter), "child")
    heard: list[ChildEvent] = []
    end = children.watch("child", heard.extend)
    child = host.theater.actor("child")
    await child.call_function("increment", [1])
    assert [(one.type, one.operation) for one in heard] == [("call", "increment"), ("result", "increment")]
    recorded = {one.seq: one for one in await child.get_chain().all()}
    assert all(recorded[one.seq].hash == one.hash for one in heard)
    data = await children.events("child", 1 << 20)
    assert [decode_event(one).seq for one in data] == sorted(recorded)
    few = await children.events("child", len(data[-1]) + len(data[-2]))
    assert few == data[-2:]
    end()
    await child.call_function("increment", [1])
    assert len(heard) == 2
    assert len(await parent.get_chain().all()) == 1


async def test_a_recovered_parent_has_its_recovered_children_again(
    theater_server: Any, nursery: Any, counter: Any, tmp_path: Path, relay: Any, kind: str
) -> None:
    options: dict[str, Any] = {
        "installed": ["runtime"],
        "data_dir": tmp_path,
        "relay": relay,
        "namespace": f"children-come-back-{kind}",
    }
    durable = '[chain]\ndurability = "file"\n'
    async with running_host(nursery, server=theater_server, **options) as host:
        await host.spawn(nursery, id="parent", capabilities=HAS, chain={"durability": "file"})
        children = nursery.by_id["parent"].children
        for child in ("c2", "a1", "b3"):
            await children.spawn(ChildSpec(COUNTS + durable, counter), child)
        await children.spawn(ChildSpec(COUNTS, counter), "fleeting")
        await children.spawn(ChildSpec('name = "m"\n[capabilities.nursery]\n' + durable, nursery.wasm), "middle")
        await nursery.by_id["middle"].children.spawn(ChildSpec(COUNTS + durable, counter), "leaf")
        await children.stop("b3")
        host.host.actors["c2"].checkpoints.wanted()
        await host.theater.actor("c2").call_function("increment", [1])
        kept = await children.keep(b"an object")
    # What ends with the host, the parent finds missing when it is back.
    assert nursery.ends["parent"] == [ChildEnd("b3", "shutdown")]
    nursery.ends.clear()
    async with running_host(nursery, server=theater_server, **options) as host:
        children = nursery.by_id["parent"].children
        assert children.ids() == ["c2", "a1", "middle"]
        assert nursery.back == {"parent": [["c2", "a1", "middle"]], "middle": [["leaf"]]}
        assert host.host.actors["parent"].household.count == 4
        assert await children.fetch(kept) == b"an object"
        with pytest.raises(SpawnRefused, match="no package with SHA-256"):
            await children.fetch("sha256:" + "0" * 64)
        await children.stop("a1")
        assert nursery.ends["parent"] == [ChildEnd("a1", "shutdown")]
        await host.theater.actor("parent").shutdown(wait=True)
        assert host.host.actors == {}
    async with running_host(nursery, server=theater_server, **options) as host:
        assert host.host.actors == {}


async def test_a_recovered_child_without_its_parent_goes_on_and_is_named(
    theater_server: Any, nursery: Any, counter: Any, tmp_path: Path, relay: Any, kind: str
) -> None:
    options: dict[str, Any] = {"data_dir": tmp_path, "namespace": f"an-orphan-{kind}", "relay": relay}
    async with running_host(nursery, server=theater_server, **options) as host:
        await host.spawn(nursery, id="parent", chain={"durability": "file"})
        spec = ChildSpec(COUNTS + '[chain]\ndurability = "file"', counter)
        await nursery.by_id["parent"].children.spawn(spec, "child")
    # Without the capability the parent cannot come back.
    telemetry = Telemetry(level="metrics", strict=True)
    with LogCollector() as logs:
        async with running_host(server=theater_server, telemetry=telemetry, **options) as host:
            assert "actor.orphaned" in emitted(REGISTRY, records=logs.records).logs
    async with running_host(server=theater_server, **options) as host:
        assert sorted(host.host.actors) == ["child"]
        assert host.host.actors["child"].parent is None
        await host.theater.actor("child").shutdown(wait=True)


async def test_what_a_guest_may_name_is_a_digest_or_a_scheme(start_host: Any, nursery: Any) -> None:
    _, _, children = await hosted(start_host, nursery)
    for name in ("/etc/passwd", "../../etc/passwd", "counter.wasm", "", "sha256:xyz", "sha256:" + "A" * 64, "a b://c"):
        with pytest.raises(SpawnRefused, match="an actor may name no path"):
            await children.fetch(name)
    with pytest.raises(SpawnRefused, match="no plugin of this host resolves packages of oci://"):
        await children.fetch("oci://x/y")


async def test_an_actor_that_gives_up_fails_and_its_children_end_first(
    start_host: Any, nursery: Any, counter: Any, eventually: Any
) -> None:
    host, _, children = await hosted(start_host, nursery)
    await children.spawn(ChildSpec('name = "m"\nid = "middle"\n[capabilities.nursery]', nursery.wasm))
    below = nursery.by_id["middle"].children
    await below.spawn(ChildSpec(COUNTS, counter), "leaf")
    below.give_up("too many restarts")
    await eventually(lambda: nursery.ends["parent"])
    assert nursery.ends["parent"] == [ChildEnd("middle", "failed", message="too many restarts")]
    assert nursery.ends["middle"] == [ChildEnd("leaf", "shutdown")]
    assert sorted(host.host.actors) == ["parent"]


async def test_a_listener_that_raises_hinders_nobody(start_host: Any, nursery: Any, counter: Any, caplog: Any) -> None:
    host, _, children = await hosted(start_host, nursery)

    def refuse(end: ChildEnd) -> None:
        raise RuntimeError(end.child)

    children.listen(refuse, lambda: None)
    await children.spawn(ChildSpec(COUNTS, counter), "child")
    with contextlib.suppress(TypeMismatch):
        await children.stop("child")
    assert sorted(host.host.actors) == ["parent"]
    assert "a capability failed at the end of child child" in caplog.text
