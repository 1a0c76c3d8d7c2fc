"""What queries and verbs answer is what their table declares, and nothing of an envelope is taken and ignored."""

from __future__ import annotations

import json
from pathlib import Path
from time import time
from typing import Any

import pytest

from theater_bus.core.wire.subjects import Channel
from theater_bus.core.wire.verb_table import VERBS
from theater_bus.errors import OperationTimeout, Overloaded, PermissionDenied, SerializationError

from .conftest import Stage, one_kind, packed

ASKED: dict[Channel, dict[str, dict[str, Any]]] = {
    Channel.INFO: {
        **{name: {} for name in ("status", "chain", "metrics", "exports", "manifest", "grants", "watch")},
        "state": {"form": "value"},
        "operation": {"op": "k"},
        "object": {"digest": f"sha256:{32 * '0a'}"},
    },
    # In the order in which one actor can bear them.
    Channel.CONTROL: {
        "pause": {},
        "resume": {},
        "cancel": {"op": "k"},
        "waiting": {"path": ["b"]},
        "approve": {"id": "nothing"},
        "shutdown": {"wait": True},
        "terminate": {"wait": True},
    },
    Channel.HOST: {"spawn": {}, "info": {}, "actors": {}, "drain": {"wait": True}},
    Channel.FLEET: {"ping": {}, "where": {"id": "a"}},
}
ALTERNATIVES = {
    (Channel.INFO, "state"): {"cgrf", "digest, size, object"},
    (Channel.INFO, "object"): {"digest, size, object"},
}


def test_every_verb_that_exists_is_asked_here() -> None:
    for channel, verbs in VERBS.items():
        assert set(ASKED[channel]) == {verb.name for verb in verbs.values() if not verb.reserved}


async def answers(
    stage: Stage, channel: Channel, who: str, names: list[str] | None = None, **instead: dict[str, Any]
) -> dict[str, Any]:
    prefix = f"theater.{stage.namespace}.{channel.value}." + (f"{who}." if who else "")
    return {
        name: await stage.ask(f"{prefix}{name}", packed({"v": 1, "params": instead.get(name, fields)}))
        for name, fields in ASKED[channel].items()
        if names is None or name in names
    }


async def test_every_answer_has_exactly_the_fields_that_its_verb_declares(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "counter.wasm").write_bytes(stage.packages["counter"])
    host = await stage.host(packages_dir=tmp_path)
    for actor_id in ("a", "b"):
        await stage.spawn(host, actor_id, guest_name="counter")
    await stage.call("a", "increment", 1, op="k")
    digest = (await stage.info("a"))["package"]
    spawn = {"manifest": {"name": "c"}, "package": digest, "state": 1}
    found = {
        Channel.INFO: await answers(stage, Channel.INFO, "a"),
        Channel.FLEET: await answers(stage, Channel.FLEET, ""),
        Channel.CONTROL: {
            **await answers(
                stage, Channel.CONTROL, "a", ["pause", "resume", "cancel", "waiting", "approve", "shutdown"]
            ),
            **await answers(stage, Channel.CONTROL, "b", ["terminate"]),
        },
        Channel.HOST: await answers(stage, Channel.HOST, host.id, spawn=spawn),
    }
    for channel, verbs in found.items():
        for name, answer in verbs.items():
            declared = {one.name: one.type for one in VERBS[channel][name].answer}
            for alternative in ALTERNATIVES.get((channel, name), ()):
                del declared[alternative]
            assert set(answer) == set(declared), f"{channel.value}.{name}"
            for field, type_ in declared.items():
                assert fits(type_, answer[field]), f"{channel.value}.{name}: {field} is {answer[field]!r}, no {type_}"


def fits(type_: str, value: Any) -> bool:
    """Whether a value is what the reference calls `type_`."""
    name, _, rest = type_.partition(" or ")
    if rest == "nil" and value is None:
        return True
    if name == "digest":
        return isinstance(value, str) and value.startswith("sha256:") and len(value) == 71
    if name.startswith("bin"):
        return isinstance(value, bytes) and name in ("bin", f"bin {len(value)}")
    kinds: dict[str, Any] = {"str": str, "int": int, "bool": bool, "map": dict, "array": list, "{sequence,": dict}
    return name == "plain value" or isinstance(value, kinds[name.split()[0]])


@one_kind
@pytest.mark.parametrize(
    ("envelope", "key"),
    [
        ({"cgrf": b"x"}, "cgrf"),
        ({"op": "k"}, "op"),
        ({"outbox": [bytes(16), 1], "reply": "none"}, "outbox"),
        ({"reply": "cgrf"}, "reply"),
    ],
)
async def test_what_is_for_operations_only_is_refused_by_queries_and_verbs(
    stage: Stage, envelope: dict[str, Any], key: str
) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    subjects = (
        stage.subject("a", "status", "info"),
        stage.subject("a", "pause", "control"),
        stage.subject(host.id, "info", "host"),
        f"theater.{stage.namespace}.fleet.ping",
    )
    for subject in subjects:
        error = await stage.error(stage.ask(subject, packed({"v": 1, **envelope})))
        assert isinstance(error, SerializationError)
        assert (error.details["key"], error.ran) == (key, "never")
    assert (await stage.info("a"))["phase"] == "running"


@one_kind
async def test_a_verb_that_nobody_wants_to_hear_of_is_answered_empty(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    body = packed({"v": 1, "reply": "none"})
    message = await stage.connection.request_one(stage.subject("a", "pause", "control"), body, timeout_s=5)
    assert message.data == packed({"v": 1})
    assert (await stage.info("a"))["phase"] == "paused"


@one_kind
@pytest.mark.parametrize("late", [{"timeout_ms": 0}, {"timeout_ms": 100}])
async def test_a_verb_that_expired_on_its_way_is_not_done(stage: Stage, late: dict[str, int]) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    body = packed({"v": 1, "sent_ms": int(time() * 1000) - 1000, **late})
    error = await stage.error(stage.ask(stage.subject("a", "pause", "control"), body))
    assert isinstance(error, OperationTimeout)
    assert error.ran == "never"
    assert (await stage.info("a"))["phase"] == "running"


@one_kind
async def test_an_outbox_number_is_taken_from_the_host_of_an_actor_only(stage: Stage) -> None:
    host = await stage.host(caller_subjects=True)
    await stage.spawn(host, "a")
    sent: dict[str, Any] = {"reply": "none", "outbox": [bytes(16), 1]}
    for caller in ("", ".@.alice"):
        error = await stage.error(stage.call("a", f"add{caller}", 1, **sent))
        assert isinstance(error, PermissionDenied)
    await stage.call("a", "add.@actor.b", 1, **sent)
    assert (await stage.info("a", "state"))["state"] == 1


@one_kind
async def test_a_host_refuses_more_actors_than_its_bound_and_takes_one_again_when_there_is_room(stage: Stage) -> None:
    host = await stage.host(max_actors=2)
    await stage.spawn(host, "a")
    await stage.spawn(host, "b")
    error = await stage.error(stage.spawn(host, "c"))
    assert isinstance(error, Overloaded)
    assert (error.details["bound"], error.details["limit"]) == ("max_actors", 2)
    await stage.control("a", "terminate", wait=True)
    await stage.spawn(host, "c")
    assert await stage.call("c", "add", 1) == 1


@one_kind
@pytest.mark.parametrize("channel", ["ops", "info"])
async def test_bare_json_that_cannot_be_read_is_refused_in_bare_json(stage: Stage, channel: str) -> None:
    await stage.spawn(await stage.host(), "a")
    reply = await stage.connection.request_one(stage.subject("a", "state", channel), b"[1,", timeout_s=20)
    refusal = json.loads(reply.data)
    assert refusal["code"] == "serialization-error"
    assert refusal["message"].startswith("not valid JSON")
    assert reply.headers is not None and "Content-Type" not in reply.headers
