"""Buckets through a real guest, server and host: revisions, grants, watches, recovery, hostile keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from theater_bus.errors import FunctionNotFound, GuestError
from theater_bus.testing import running_host
from theater_bus_kv import Kv


async def call(actor: Any, function: str, *params: Any) -> Any:
    """What a `result` of the relaying guest holds; raises `GuestError` for its `err`."""
    [answer] = await actor.call_function(function, list(params))
    if "err" in answer:
        raise GuestError(str(answer["err"]))
    return answer["ok"]


async def test_a_key_has_revisions(spawn: Any, bucket: Any) -> None:
    name = bucket._name
    _, actor = await spawn(buckets=[name], write=[">"])
    assert await call(actor, "get", name, "a") is None
    first = await call(actor, "create", name, "a", b"1")
    assert await call(actor, "create", name, "a", b"2") is None
    assert await call(actor, "update", name, "a", b"2", first + 100) is None
    second = await call(actor, "update", name, "a", b"2", first)
    assert await call(actor, "get", name, "a") == {"bucket": name, "key": "a", "value": b"2", "revision": second}
    assert (await bucket.get("a")).value == b"2"
    assert await call(actor, "put", name, "x/y.z", b"") > second
    assert await call(actor, "keys", name, "") == ["a", "x/y.z"]
    assert await call(actor, "keys", name, "x") == ["x/y.z"]
    assert await call(actor, "delete", name, "a", first) is False
    assert await call(actor, "delete", name, "a", None) is True
    assert await call(actor, "get", name, "a") is None
    for function, params in (("update", ["a", b"", 0]), ("delete", ["a", 0])):
        with pytest.raises(GuestError, match="no revision has the number 0"):
            await call(actor, function, name, *params)


async def test_the_grants_name_buckets_and_keys(spawn: Any, bucket: Any, client: Any) -> None:
    name = bucket._name
    await bucket.put("secret.key", b"x")
    await bucket.put("user.ada", b"y")
    _, actor = await spawn(buckets=[name, "missing"], read=["user.*"], write=["user.bob"], value_bytes=4, keys=1)
    assert (await call(actor, "get", name, "user.ada"))["value"] == b"y"
    assert await call(actor, "keys", name, "") == ["user.ada"]
    assert await call(actor, "put", name, "user.bob", b"1234") > 0
    for function, params, why in (
        ("get", [name, "secret.key"], r"kv\.read does not allow the key 'secret\.key'"),
        ("put", [name, "user.ada", b""], r'kv\.write does not allow .*Fix: `write = \["user\.ada"\]`'),
        ("create", [name, "user.ada", b""], r"kv\.write"),
        ("update", [name, "user.ada", b"", 1], r"kv\.write"),
        ("delete", [name, "user.ada", None], r"kv\.write"),
        ("put", [name, "user.bob", b"12345"], r"kv\.value_bytes = 4"),
        ("keys", [name, "user"], r"more keys of .* than the grant kv\.keys = 1 allows"),
        ("get", ["other", "user.ada"], r"kv\.buckets does not allow 'other'"),
        ("get", ["missing", "user.ada"], "there is no key-value bucket 'missing'"),
        ("get", ["theater_default_actors", "user.ada"], "theater's own"),
        ("watch", ["w", name, ">"], r"kv\.read does not allow the key '>'"),
    ):
        with pytest.raises(GuestError, match=why):
            await call(actor, function, *params)


@pytest.mark.parametrize(
    "key", ["", ".", "a..b", "../../etc/passwd", "a\0b", "a b", "*", "a.>", "ключ", "x" * 600, "a\r\nPUB x 0\r\n"]
)
async def test_a_hostile_key_is_refused_and_nothing_else_happens(spawn: Any, bucket: Any, key: str) -> None:
    name = bucket._name
    _, actor = await spawn(buckets=[name], write=[">"])
    for function, params in (
        ("get", [name, key]),
        ("put", [name, key, b""]),
        ("create", [name, key, b""]),
        ("update", [name, key, b"", 1]),
        ("delete", [name, key, None]),
    ):
        with pytest.raises(GuestError):
            await call(actor, function, *params)
    assert await call(actor, "keys", name, "") == []
    assert (await actor.get_status()).phase == "running"


async def test_a_watch_gives_what_is_there_and_every_change(spawn: Any, bucket: Any, handlers: Any) -> None:
    name = bucket._name
    await bucket.put("user.ada", b"1")
    await bucket.put("other", b"no")
    _, actor = await spawn(buckets=[name])
    await call(actor, "watch", "w", name, "user.*")
    assert await handlers.got.get() == ("w", "user.ada", b"1")
    await bucket.put("user.bob", b"2")
    await bucket.delete("user.ada")
    assert [await handlers.got.get() for _ in range(2)] == [("w", "user.bob", b"2"), ("w", "user.ada", None)]
    assert await actor.call_function("list-watches") == [["w", f"{name}/user.*"]]
    with pytest.raises(GuestError, match="there is a watch 'w' already"):
        await call(actor, "watch", "w", name, "user.*")
    await call(actor, "unwatch", "w")
    with pytest.raises(GuestError, match="nothing is watched"):
        await call(actor, "unwatch", "w")
    assert await actor.get_state() == 3
    with pytest.raises(FunctionNotFound):
        await actor.call_function("theater:bus/kv-client.handle-entry", ["w", {}])


async def test_a_paused_actor_finds_the_newest_of_each_key(spawn: Any, bucket: Any, handlers: Any) -> None:
    name = bucket._name
    _, actor = await spawn(buckets=[name], waiting=1, watches=1)
    await call(actor, "watch", "w", name, ">")
    with pytest.raises(GuestError, match=r"kv\.watches = 1 is used up"):
        await call(actor, "watch", "x", name, ">")
    await bucket.put("first", b"0")
    assert await handlers.got.get() == ("w", "first", b"0")
    await actor.pause()
    for number in range(50):
        await bucket.put("a", str(number).encode())
    await bucket.put("b", b"last")
    await actor.resume()
    got: list[tuple[str, str, bytes | None]] = []
    while not got or got[-1][1] != "b":
        got.append(await handlers.got.get())
    values = [int(value or b"-1") for _, key, value in got if key == "a"]
    assert values == sorted(values)
    assert values[-1] == 49
    assert len(values) < 50


async def test_so_many_keys_wait_and_the_rest_stays_with_the_server(
    spawn: Any, bucket: Any, handlers: Any, eventually: Any
) -> None:
    name = bucket._name
    host, actor = await spawn(buckets=[name], waiting=1, pending=3)
    await call(actor, "watch", "w", name, ">")
    await bucket.put("first", b"")
    await handlers.got.get()
    await actor.pause()
    watching = host.host.actors["a"].capabilities["kv"]._watches["w"]
    for number in range(20):
        await bucket.put(f"k{number}", b"")
    await eventually(lambda: len(watching._behind) == 3 and not watching._room.is_set())
    await actor.resume()
    assert [(await handlers.got.get())[1] for _ in range(20)] == [f"k{number}" for number in range(20)]


async def test_so_many_bytes_wait_and_the_rest_stays_with_the_server(
    spawn: Any, bucket: Any, handlers: Any, eventually: Any
) -> None:
    name = bucket._name
    host, actor = await spawn(buckets=[name], waiting=1, pending_bytes=2_500)
    await call(actor, "watch", "w", name, ">")
    await bucket.put("first", bytes(9_000))
    assert len((await handlers.got.get())[2]) == 9_000
    await actor.pause()
    watching = host.host.actors["a"].capabilities["kv"]._watches["w"]
    for number in range(6):
        await bucket.put(f"k{number}", bytes([number]) * 1_000)
    await eventually(lambda: len(watching._behind) == 1 and not watching._room.is_set())
    await actor.resume()
    assert [(await handlers.got.get())[1] for _ in range(6)] == [f"k{number}" for number in range(6)]
    await actor.call_function("list-watches")
    assert watching._bytes == 0


async def test_a_mailbox_that_is_full_loses_no_change(spawn: Any, bucket: Any, handlers: Any, eventually: Any) -> None:
    """Two watches of an actor that takes one call of its capabilities at a time."""
    name = bucket._name
    host, actor = await spawn(buckets=[name], mailbox={"enqueues": 1})
    for watch in ("w", "x"):
        await call(actor, "watch", watch, name, ">")
    await bucket.put("first", b"")
    assert {(await handlers.got.get())[0] for _ in range(2)} == {"w", "x"}
    await actor.pause()
    watches = host.host.actors["a"].capabilities["kv"]._watches
    await bucket.put("second", b"")
    await eventually(lambda: all(one._calls for one in watches.values()))
    await actor.resume()
    assert {await handlers.got.get() for _ in range(2)} == {("w", "second", b""), ("x", "second", b"")}
    assert host.host.actors["a"].failure_note is None


async def test_watches_come_back_and_go_on_where_they_were(
    spawn: Any, bucket: Any, handlers: Any, tmp_path: Path, theater_server: Any
) -> None:
    name = bucket._name
    options: dict[str, Any] = {"data_dir": tmp_path, "namespace": f"kv-{name}", "server": theater_server}
    async with running_host(Kv, handlers, **options) as host:
        _, actor = await spawn(host=host, chain="file", buckets=[name])
        await call(actor, "watch", "w", name, ">")
        await bucket.put("a", b"1")
        assert await handlers.got.get() == ("w", "a", b"1")
    await bucket.put("b", b"2")
    async with running_host(Kv, handlers, **options) as host:
        actor = host.theater.actor("a")
        assert await handlers.got.get() == ("w", "b", b"2")
        await actor.call_function("list-watches")
        assert await actor.get_state() == 2


async def test_a_bucket_that_was_made_anew_is_watched_from_its_beginning(
    spawn: Any, bucket: Any, client: Any, handlers: Any, tmp_path: Path, theater_server: Any, monkeypatch: Any
) -> None:
    for interval in ("LOOK_S", "CHECK_S"):
        monkeypatch.setattr(f"theater_bus.bus.key_value.{interval}", 0.05)
    name, jetstream = bucket._name, client.jetstream()
    options: dict[str, Any] = {"data_dir": tmp_path, "namespace": f"kv-{name}", "server": theater_server}

    async def anew(value: bytes) -> None:
        await jetstream.delete_key_value(name)
        await (await jetstream.create_key_value(bucket=name)).put("a", value)

    async with running_host(Kv, handlers, **options) as host:
        _, actor = await spawn(host=host, chain="file", buckets=[name])
        await call(actor, "watch", "w", name, ">")
        for value in (b"1", b"2", b"3"):
            await bucket.put("a", value)
            assert await handlers.got.get() == ("w", "a", value)
        await anew(b"while it watched")
        assert await handlers.got.get() == ("w", "a", b"while it watched")
        await (await jetstream.key_value(name)).put("b", b"next")
        assert await handlers.got.get() == ("w", "b", b"next")
    await anew(b"while it was away")
    async with running_host(Kv, handlers, **options) as host:
        assert await handlers.got.get() == ("w", "a", b"while it was away")


async def test_a_snapshot_of_something_else_is_refused(start_harness: Any) -> None:
    kv = await start_harness(Kv, {"buckets": ["a"]})
    assert kv.instance.snapshot() is None
    for broken in (b"", b"[1]", b'[{"a":1}]'):
        with pytest.raises(ValueError, match=r"snapshot|Expecting|argument"):
            kv.instance.restore(broken)
