"""The random capability: its sources alone, its page, and guests that draw on a real host."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.capability import CapabilityError
from theater_bus.core.chain import bodies
from theater_bus.core.values.codec import value_codec
from theater_bus.errors import SpawnRefused, TypeMismatch
from theater_bus.plugins import compile_capability
from theater_bus.testing import relay_guest, running_host
from theater_bus_random import Random
from theater_bus_random.stream import SeededStream

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "capabilities" / "random.md"
COMPILED = compile_capability("random", Random)
SEEDED = {"random": {"seed": "a test"}}
COURSE: list[tuple[str, list[int]]] = [
    ("get-bytes", [16]),
    ("get-u64", []),
    ("insecure-bytes", [16]),
    ("insecure-u64", []),
    ("insecure-seed", []),
    ("get-bytes", [5000]),
]


async def course(actor: Any) -> list[Any]:
    return [await actor.call_function(name, params) for name, params in COURSE]


def as_seen(event: bodies.HostCall) -> Any:
    """What a relaying guest answers when this is what it got."""
    declared = COMPILED.functions[(event.interface, event.function)].declaration.result
    assert declared is not None
    assert isinstance(event.output, bytes)
    codec = value_codec(declared)
    plain = codec.decode(codec.check(event.output))
    return [plain] if event.function.endswith("-bytes") else plain


def test_the_reference_states_the_first_draws_of_a_seed() -> None:
    [seed] = re.findall(r'^seed = "(.*)"$', PAGE.read_text("utf-8"), re.MULTILINE)
    rows = re.findall(r"^\| (\d+) \| (\d+) \| `([0-9a-f]+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [row[0] for row in rows] == ["0", "1", "2"]
    stream = SeededStream(seed)
    assert [stream.draw(int(count)).hex() for _, count, _ in rows] == [drawn for _, _, drawn in rows]


@settings(max_examples=50, deadline=None)
@given(seed=st.text(min_size=1, max_size=20), counts=st.lists(st.integers(0, 200), max_size=5), more=st.integers(0, 99))
def test_a_seed_gives_the_same_draws_and_a_shorter_one_begins_a_longer_one(
    seed: str, counts: list[int], more: int
) -> None:
    one, same, longer = (SeededStream(seed) for _ in range(3))
    drawn = [one.draw(count) for count in counts]
    assert [len(draw) for draw in drawn] == counts
    assert [same.draw(count) for count in counts] == drawn
    assert [longer.draw(count + more)[:count] for count in counts] == drawn
    assert [SeededStream(seed, at).draw(count) for at, count in enumerate(counts)] == drawn


def test_draws_differ_from_one_another_and_between_seeds() -> None:
    streams = [SeededStream(seed) for seed in ("a", "b", "aa", "a\0", "ä", "\0a")]
    drawn = [stream.draw(16) for stream in streams for _ in range(100)]
    assert len(set(drawn)) == len(drawn)


async def test_without_a_seed_nothing_repeats(start_harness: Any) -> None:
    one, other = [await start_harness(Random, actor="same") for _ in range(2)]
    for function in ("get-bytes", "insecure-bytes"):
        assert len({await source.call(function, 16) for source in (one, other) for _ in range(50)}) == 100
    for function in ("get-u64", "insecure-u64"):
        numbers = {await source.call(function) for source in (one, other) for _ in range(50)}
        assert len(numbers) == 100
        assert max(numbers) >> 60, "the high bits are used"
    seeds = [await source.call("insecure-seed") for source in (one, other)]
    assert len({number for seed in seeds for number in seed}) == 4


async def test_a_seed_makes_the_insecure_functions_reproducible_and_no_others(start_harness: Any) -> None:
    one, other = [await start_harness(Random, {"seed": "a test"}) for _ in range(2)]
    for function, args in (("insecure-bytes", [16]), ("insecure-u64", []), ("insecure-seed", [])):
        assert await one.call(function, *args) == await other.call(function, *args)
    assert await one.call("get-bytes", 16) != await other.call("get-bytes", 16)
    assert await one.call("get-u64") != await other.call("get-u64")
    assert await one.call("insecure-u64") == await other.call("insecure-u64")


async def test_numbers_are_draws_in_little_endian(start_harness: Any) -> None:
    random, stream = await start_harness(Random, {"seed": "a test"}), SeededStream("a test")
    assert (await random.call("insecure-u64")).to_bytes(8, "little") == stream.draw(8)
    assert b"".join(one.to_bytes(8, "little") for one in await random.call("insecure-seed")) == stream.draw(16)


@pytest.mark.parametrize("function", ["get-bytes", "insecure-bytes"])
async def test_bytes_beyond_their_grant_are_refused_with_the_line_to_add(start_harness: Any, function: str) -> None:
    random = await start_harness(Random, {"bytes_max": 10, "seed": "a test"})
    assert [len(await random.call(function, count)) for count in (0, 1, 10)] == [0, 1, 10]
    with pytest.raises(CapabilityError) as caught:
        await random.call(function, 11)
    assert str(caught.value).startswith(
        "11 bytes are more than the granted random.bytes_max = 10. Fix: write `bytes_max = 11` under "
        "[capabilities.random]"
    )
    with pytest.raises(CapabilityError, match="Fix: nobody can grant more than 65536; ask for less at a time"):
        await random.call(function, (1 << 32) - 1)


async def test_a_refused_call_draws_nothing(start_harness: Any) -> None:
    random = await start_harness(Random, {"bytes_max": 10, "seed": "a test"})
    with pytest.raises(CapabilityError):
        await random.call("insecure-bytes", 11)
    assert await random.call("insecure-bytes", 8) == SeededStream("a test").draw(8)


async def test_an_actor_may_be_granted_no_bytes_at_all(start_harness: Any) -> None:
    random = await start_harness(Random, {"bytes_max": 0})
    assert await random.call("get-bytes", 0) == b""
    with pytest.raises(CapabilityError, match=r"1 bytes are more than the granted random\.bytes_max = 0"):
        await random.call("get-bytes", 1)


@pytest.mark.parametrize("wrong", [-1, 1 << 32, "1", 0.5, None, b"1"])
async def test_a_count_that_is_none_never_reaches_the_capability(start_harness: Any, wrong: object) -> None:
    random = await start_harness(Random)
    with pytest.raises(TypeMismatch):
        await random.call("get-bytes", wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bytes_max": -1},
        {"bytes_max": 65_537},
        {"bytes_max": "10"},
        {"bytes_max": True},
        {"bytes_max": "unlimited"},
        {"seed": 7},
        {"seed": "x" * 257},
        {"seed": "\ud800"},
        {"max_bytes": 10},
    ],
)
async def test_a_wrong_setting_refuses_the_spawn_and_names_the_right_ones(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"\[capabilities.random\].*its settings are bytes_max, seed"):
        await start_harness(Random, wrong)


async def test_a_snapshot_keeps_the_place_in_the_draws(start_harness: Any) -> None:
    seeded = {"seed": "a test"}
    whole, first = [await start_harness(Random, seeded) for _ in range(2)]
    expected = [await whole.call("insecure-u64") for _ in range(4)]
    drawn = [await first.call("insecure-u64") for _ in range(2)]
    second = await start_harness(Random, seeded, snapshot=first.instance.snapshot())
    assert [*drawn, *[await second.call("insecure-u64") for _ in range(2)]] == expected
    assert (await start_harness(Random)).instance.snapshot() is None


async def test_the_last_draw_of_all_is_followed_by_the_first(start_harness: Any) -> None:
    random = await start_harness(Random, {"seed": "a test"}, snapshot=b"\xff" * 8)
    await random.call("insecure-u64")
    assert random.instance.snapshot() == bytes(8)


@pytest.mark.parametrize(("seed", "snapshot"), [("a test", b""), ("a test", bytes(9)), ("", bytes(8))])
async def test_what_is_no_snapshot_is_not_restored(start_harness: Any, seed: str, snapshot: bytes) -> None:
    with pytest.raises(ValueError, match="a snapshot is 8 bytes, and only one with a seed gives any"):
        await start_harness(Random, {"seed": seed}, snapshot=snapshot)


async def test_what_is_recorded_is_what_the_guest_saw(start_host: Any, recorded: Any) -> None:
    host = await start_host(installed=["random"])
    actor = await host.spawn(Random)
    seen = await course(actor)
    assert [one[0].keys() for one in (seen[0], seen[2], seen[5])] == [{"ok"}, {"ok"}, {"err"}]
    events = await recorded(actor)
    assert [(one.function, one.outcome) for one in events] == [(name, "returned") for name, _ in COURSE]
    assert [as_seen(event) for event in events] == seen


async def test_a_replay_draws_what_the_record_says(start_host: Any, recorded: Any, replay: Any) -> None:
    """Neither has a seed, and the actor of the replay has no bytes granted: what it gets can only be the record's."""
    original = await (await start_host(Random)).spawn(Random)
    seen, record = await course(original), await recorded(original)
    host = await start_host(Random, replay(record))
    again = await host.spawn(Random, capabilities={"random": {"bytes_max": 0}})
    assert await course(again) == seen
    assert await recorded(again) == record


async def test_actors_with_one_seed_draw_the_same_whatever_others_draw(start_host: Any) -> None:
    host = await start_host(Random)
    asked: list[dict[str, Any]] = [SEEDED, SEEDED, {"random": {}}]
    one, other, without = [await host.spawn(Random, capabilities=each) for each in asked]
    drawn: list[list[Any]] = [[], [], []]
    for _ in range(3):
        for draws, actor in zip(drawn, (one, without, other), strict=True):
            draws.append(await actor.call_function("insecure-u64"))
    assert drawn[0] == drawn[2]
    assert not set(drawn[0]) & set(drawn[1])


async def test_a_recovered_actor_goes_on_with_its_draws(theater_server: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"server": theater_server, "namespace": "random-recovery", "data_dir": tmp_path}
    wasm = await asyncio.to_thread(relay_guest, Random)
    async with running_host(Random, **options) as host:
        actor = await host.spawn(wasm, id="r", capabilities=SEEDED, chain={"durability": "file"})
        before = [await actor.call_function("insecure-u64") for _ in range(2)]
    async with running_host(Random, **options) as host:
        after = [await host.theater.actor("r").call_function("insecure-u64") for _ in range(2)]
    stream = SeededStream("a test")
    assert [number.to_bytes(8, "little") for number in before + after] == [stream.draw(8) for _ in range(4)]


async def test_host_and_parent_cut_what_the_manifest_asks_for(start_host: Any) -> None:
    host = await start_host(Random, grants={"random": {"bytes_max": 50}})
    await host.spawn(Random, id="parent", capabilities={"random": {"bytes_max": 10}})
    asked = {"random": {"bytes_max": 1000}}
    orphan, child = (
        await host.spawn(Random, capabilities=asked),
        await host.spawn(Random, parent="parent", capabilities=asked),
    )
    for actor, most in ((orphan, 50), (child, 10)):
        [answer] = await actor.call_function("get-bytes", [most])
        assert len(answer["ok"]) == most
        [answer] = await actor.call_function("get-bytes", [most + 1])
        assert f"granted random.bytes_max = {most}." in answer["err"]


async def test_a_seed_must_be_agreed_on(start_host: Any) -> None:
    host = await start_host(Random, grants={"random": {"seed": "the host's"}})
    with pytest.raises(SpawnRefused, match=r"random\.seed: .*the manifest asks for a test, the host allows the host's"):
        await host.spawn(Random, capabilities=SEEDED)
    agreed = {"random": {"seed": "the host's"}}
    await host.spawn(Random, id="parent", capabilities=agreed)
    child = await host.spawn(Random, parent="parent", capabilities=agreed)
    drawn = await child.call_function("insecure-u64")
    assert drawn.to_bytes(8, "little") == SeededStream("the host's").draw(8)


@pytest.mark.parametrize(("parent", "child"), [("a test", ""), ("", "a test"), ("a test", "another")])
async def test_a_child_has_the_seed_of_its_parent_or_is_refused(start_host: Any, parent: str, child: str) -> None:
    host = await start_host(Random)
    await host.spawn(Random, id="parent", capabilities={"random": {"seed": parent}})
    with pytest.raises(SpawnRefused, match=r"random\.seed: .*the manifest asks for .*, the parent allows"):
        await host.spawn(Random, parent="parent", capabilities={"random": {"seed": child}})


async def test_a_manifest_without_the_capability_is_told_what_to_add(start_host: Any) -> None:
    host = await start_host(Random)
    wasm = await asyncio.to_thread(relay_guest, Random)
    with pytest.raises(SpawnRefused, match=r"Fix: add `\[capabilities.random\]` to the manifest"):
        await host.spawn(wasm, capabilities={})
