"""The store capability through its host: the page, owners and grants, hostile names, damage."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from theater_bus import EmbeddedServer
from theater_bus.capability import CapabilityError
from theater_bus.errors import GuestError, SpawnRefused, TypeMismatch
from theater_bus.plugins import compile_capability
from theater_bus.testing import running_host
from theater_bus_store import Store

TYPE = compile_capability("store", Store)
DIRECTORY = {"backend": "directory"}
HOSTILE_STORES = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\0b",
    "a.b",
    "a b",
    "ä",
    "x" * 65,
    "*",
    ">",
]
HOSTILE_REFERENCES = ["", "..", "../../../../etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 63 + "\n", "\0" * 64]
HOSTILE_LABELS = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a\0b",
    "a\nb",
    "x" * 513,
    "ä" * 300,
]
LABELS = ["a", "a/b", "a b", "Ä/β/漢字", "a.b", "...", "-", "x" * 512, "*", ">", "$"]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def told(actor: Any, function: str, *params: Any) -> Any:
    """The answer of a relaying guest: the value of an ok, `{"err": …}` otherwise."""
    if function in ("new", "list-stores"):
        try:
            return await actor.call_function(function)
        except GuestError as error:
            return {"err": str(error)}
    [answer] = await actor.call_function(function, list(params))
    return answer.get("ok", answer)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def damage(folder: Path, reference: str) -> None:
    [path] = folder.rglob(reference)
    path.write_bytes(b"other")


def test_every_function_that_writes_is_external() -> None:
    effects = {name: function.effect for (_, name), function in TYPE.functions.items()}
    reading = {
        "get",
        "exists",
        "get-by-label",
        "list-all-content",
        "calculate-total-size",
        "list-labels",
        "list-stores",
    }
    assert {name for name, effect in effects.items() if effect == "none"} == reading
    assert set(effects.values()) == {"none", "external"}


@pytest.fixture(params=["directory", "nats"])
def open_store(request: pytest.FixtureRequest, start_host: Any, tmp_path: Path) -> Any:
    """`host, spawn = await open_store()`: a host, and `await spawn(id, **settings)` for actors with the capability."""

    async def start(**options: Any) -> Any:
        host = await start_host(Store, data_dir=tmp_path, **options)

        async def spawn(id: str, **settings: Any) -> Any:
            return await host.spawn(Store, id=id, capabilities={"store": {"backend": request.param} | settings})

        return host, spawn

    return start


async def test_the_thirteen_functions_do_what_the_page_says(open_store: Any) -> None:
    _, spawn = await open_store()
    actor = await spawn("a")
    store = await told(actor, "new")
    one = await told(actor, "store", store, b"one")
    assert one == digest(b"one")
    assert await told(actor, "get", store, one) == b"one"
    assert [await told(actor, "exists", store, ref) for ref in (one, digest(b"two"))] == [True, False]
    assert "there is no content" in (await told(actor, "get", store, digest(b"two")))["err"]
    assert "there is no content" in (await told(actor, "label", store, "l", digest(b"two")))["err"]
    assert await told(actor, "label", store, "l", one) == []
    assert await told(actor, "get-by-label", store, "l") == one
    assert await told(actor, "get-by-label", store, "m") is None
    two = await told(actor, "store-at-label", store, "m/n", b"two")
    assert await told(actor, "replace-content-at-label", store, "l", b"three") == digest(b"three")
    assert await told(actor, "replace-at-label", store, "m/n", one) == []
    assert [await told(actor, "get-by-label", store, label) for label in ("l", "m/n")] == [digest(b"three"), one]
    assert await told(actor, "list-labels", store) == ["l", "m/n"]
    assert await told(actor, "list-all-content", store) == sorted([one, two, digest(b"three")])
    assert await told(actor, "calculate-total-size", store) == 11
    assert await told(actor, "remove-label", store, "m/n") == []
    assert await told(actor, "remove-label", store, "m/n") == []
    assert await told(actor, "collect-garbage", store, 3_600_000) == [0, 0]
    assert await told(actor, "collect-garbage", store, 0) == [2, 6]
    assert await told(actor, "list-all-content", store) == [digest(b"three")]
    assert await told(actor, "calculate-total-size", store) == 5
    assert await told(actor, "list-stores") == [store]
    assert await told(actor, "remove-store", store) == []
    assert await told(actor, "list-stores") == []


async def test_empty_content_and_every_label_that_is_one_work(open_store: Any) -> None:
    _, spawn = await open_store()
    actor = await spawn("a")
    store = await told(actor, "new")
    for label in LABELS:
        assert await told(actor, "store-at-label", store, label, b"") == digest(b"")
    assert await told(actor, "list-labels", store) == sorted(LABELS)
    assert await told(actor, "get", store, digest(b"")) == b""


async def test_hostile_names_are_refused_and_reach_nothing(open_store: Any, tmp_path: Path) -> None:
    _, spawn = await open_store()
    actor = await spawn("a")
    store = await told(actor, "new")
    held = await told(actor, "store", store, b"held")
    before = files_below(tmp_path)
    for name in HOSTILE_STORES:
        for function, rest in (("get", (held,)), ("store", (b"x",)), ("list-labels", ()), ("remove-store", ())):
            assert "is no store" in (await told(actor, function, name, *rest))["err"]
    for reference in HOSTILE_REFERENCES:
        for function, params in (("get", (reference,)), ("exists", (reference,)), ("label", ("l", reference))):
            assert "is no reference" in (await told(actor, function, store, *params))["err"]
    for label in HOSTILE_LABELS:
        for function, rest in (("label", (held,)), ("get-by-label", ()), ("store-at-label", (b"new",))):
            assert "label" in (await told(actor, function, store, label, *rest))["err"]
    assert files_below(tmp_path) == before
    assert await told(actor, "list-all-content", store) == [held]


@pytest.mark.parametrize("wrong", [1, None, b"a", ["a"], 1.5, True])
async def test_wrong_types_never_reach_the_capability(start_harness: Any, tmp_path: Path, wrong: object) -> None:
    store = await start_harness(Store, DIRECTORY, data_dir=tmp_path)
    with pytest.raises(TypeMismatch):
        await store.call("get", wrong, "a" * 64)
    with pytest.raises(TypeMismatch):
        await store.call("store", "s", "no bytes" if isinstance(wrong, bytes) else wrong)


async def test_other_actors_stores_need_a_grant_and_are_otherwise_not_even_confirmed(open_store: Any) -> None:
    _, spawn = await open_store()
    owner, stranger = await spawn("owner"), await spawn("stranger")
    store = await told(owner, "new")
    held = await told(owner, "store-at-label", store, "l", b"held")
    reader, writer = await spawn("reader", read=[store]), await spawn("writer", write=[store])
    assert await told(reader, "get", store, held) == b"held"
    assert await told(writer, "get", store, held) == b"held"
    assert await told(writer, "store", store, b"more") == digest(b"more")
    refusals = [(await told(stranger, "get", name, held))["err"].replace(name, "S") for name in (store, "st-not-there")]
    assert refusals[0] == refusals[1]
    assert 'Fix: write `read = ["S"]` under [capabilities.store]' in refusals[0]
    for actor in (reader, stranger):
        for call in (("store", b"x"), ("label", "l", held), ("remove-label", "l"), ("collect-garbage", 0)):
            answer = (await told(actor, call[0], store, *call[1:]))["err"]
            assert f'Fix: write `write = ["{store}"]` under [capabilities.store]' in answer
    for actor in (reader, writer, stranger):
        assert "does not belong to this actor" in (await told(actor, "remove-store", store))["err"]
    assert await told(owner, "list-labels", store) == ["l"]
    assert await told(stranger, "list-stores") == []


async def test_a_granted_store_that_is_not_there_is_said_to_be_so(open_store: Any) -> None:
    _, spawn = await open_store()
    actor = await spawn("a", write=["gone"])
    for function, rest in (("store", (b"x",)), ("list-labels", ()), ("calculate-total-size", ())):
        assert "there is no store 'gone'" in (await told(actor, function, "gone", *rest))["err"]


async def test_a_store_of_a_given_name_is_shared_with_those_who_may_write_to_it(open_store: Any) -> None:
    _, spawn = await open_store()
    one, other = await spawn("one", store_id="shared"), await spawn("other", store_id="shared", write=["shared"])
    assert await told(one, "new") == await told(other, "new") == "shared"
    held = await told(one, "store", "shared", b"held")
    assert await told(other, "get", "shared", held) == b"held"
    assert await told(other, "store", "shared", b"more") == digest(b"more")
    assert await told(one, "list-stores") == ["shared"]
    assert "does not belong" in (await told(other, "remove-store", "shared"))["err"]


async def test_to_name_a_store_of_others_is_not_to_be_granted_it(open_store: Any) -> None:
    _, spawn = await open_store(grants={"store": {"write": []}})
    one, other = [await spawn(name, store_id="shared", write=["shared"]) for name in ("one", "other")]
    assert await told(one, "new") == "shared"
    held = await told(one, "store", "shared", b"held")
    assert 'Fix: write `write = ["shared"]`' in (await told(other, "new"))["err"]
    assert "does not belong to this actor" in (await told(other, "get", "shared", held))["err"]


async def test_host_and_parent_cut_what_the_manifest_asks_for(open_store: Any) -> None:
    host, spawn = await open_store(grants={"store": {"content_bytes": 5, "stores": 1, "write": ["a", "b"]}})
    await spawn("parent", write=["b", "c"], contents=1)
    asked = {"backend": "", "write": ["a", "b", "c"], "content_bytes": 100, "stores": 100, "contents": 100}
    asked["backend"] = host.host.actors["parent"].capabilities["store"].settings.backend
    child = await host.spawn(Store, id="child", parent="parent", capabilities={"store": asked})
    settings = host.host.actors["child"].capabilities["store"].settings
    assert (settings.content_bytes, settings.stores, settings.contents, settings.write) == (5, 1, 1, ("b",))
    store = await told(child, "new")
    assert "the grant store.content_bytes = 5. Fix" in (await told(child, "store", store, b"123456"))["err"]
    await told(child, "store", store, b"12345")
    assert "the grant store.contents = 1 is used up" in (await told(child, "store", store, b"1"))["err"]
    assert (
        "the grant store.stores = 1 is used up: this needs 2. Fix: remove a store" in (await told(child, "new"))["err"]
    )


async def test_an_actor_that_comes_back_has_its_stores(open_store: Any) -> None:
    _, spawn = await open_store()
    first = await spawn("a")
    store = await told(first, "new")
    held = await told(first, "store", store, b"held")
    await first.shutdown()
    again = await spawn("a")
    assert await told(again, "list-stores") == [store]
    assert await told(again, "get", store, held) == b"held"


async def test_damage_is_told_and_shows_in_the_status(start_host: Any, tmp_path: Path) -> None:
    host = await start_host(Store, data_dir=tmp_path)
    actor = await host.spawn(Store, id="a", capabilities={"store": DIRECTORY})
    store = await told(actor, "new")
    held = await told(actor, "store", store, b"held")
    damage(tmp_path, held)
    assert "is damaged. Fix: store it again" in (await told(actor, "get", store, held))["err"]
    assert "is damaged" in host.host.actors["a"].failure_note


async def test_a_directory_needs_a_host_with_one(start_harness: Any, start_host: Any) -> None:
    with pytest.raises(ValueError, match="Fix: start the host with --data DIR"):
        await start_harness(Store, DIRECTORY)
    host = await start_host(Store)
    with pytest.raises(SpawnRefused, match="Fix: start the host with --data DIR"):
        await host.spawn(Store, capabilities={"store": DIRECTORY})


async def test_nats_needs_a_server_with_jetstream() -> None:
    async with EmbeddedServer(jetstream=False) as server, running_host(Store, server=server) as host:
        with pytest.raises(SpawnRefused, match=r"capability 'store' did not start: .* has no JetStream.* Fix: start"):
            await host.spawn(Store)


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": "floppy"},
        {"store_id": "a/b"},
        {"read": ["../x"]},
        {"read": "all"},
        {"stores": -1},
        {"stores": "3"},
        {"content_bytes": 1.5},
        {"total_bytes": True},
        {"base_path": "/etc"},
    ],
)
async def test_a_wrong_setting_refuses_the_spawn_and_names_the_right_ones(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"\[capabilities.store\].*its settings are backend, content_bytes"):
        await start_harness(Store, wrong)


async def test_a_repeated_keyed_call_gets_the_same_store(start_harness: Any, tmp_path: Path) -> None:
    """`new` takes its id from the effect key, so what is run again after a crash leaves no second store behind."""
    made = []
    for _ in range(2):
        store = await start_harness(Store, DIRECTORY, data_dir=tmp_path)
        made.append(await store.call("new"))
    assert made[0] == made[1]
    assert await store.call("list-stores") == [made[0]]
    with pytest.raises(CapabilityError, match="is no store"):
        await store.call("get", "../" + made[0], "a" * 64)
