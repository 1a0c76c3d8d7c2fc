"""The buckets that stores are kept in, on a real server: crashes half-way, and who writes while others collect."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from theater_bus.capability import KeyValue, Objects
from theater_bus_store.backend import Bounds, Collected, Damaged, Full, NoSuchStore, TooLong, Usage
from theater_bus_store.bucket import BucketBackend

BOUNDS = Bounds(contents=100, total_bytes=10_000, labels=100)


def reference_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Instead:
    """A bucket of which one method is another one."""

    def __init__(self, bucket: Any, **methods: Callable[..., Any]) -> None:
        self._bucket = bucket
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        return self._methods.get(name) or getattr(self._bucket, name)


@pytest.fixture
async def buckets(start_host: Any) -> tuple[KeyValue, Objects]:
    host = await start_host()
    found: tuple[KeyValue, Objects] = await host.theater.capability_buckets("store")
    return found


@pytest.fixture
async def backend(buckets: tuple[KeyValue, Objects]) -> BucketBackend:
    made = BucketBackend(*buckets)
    await made.create("s", "me", 10)
    return made


async def test_content_is_kept_once_however_many_store_it_at_once(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects]
) -> None:
    other = BucketBackend(*buckets)
    contents = [str(n % 5).encode() * 3 for n in range(20)]
    await asyncio.gather(*((backend, other)[n % 2].put("s", one, BOUNDS) for n, one in enumerate(contents)))
    assert await backend.usage("s") == Usage(5, 15, 0)
    assert await backend.contents("s") == sorted({reference_of(one) for one in contents})
    assert len(await buckets[1].list()) == 5


async def test_a_store_holds_no_more_than_its_bounds_and_a_refusal_leaves_nothing(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects]
) -> None:
    held = await backend.put("s", b"abc", Bounds(1, 100, 1))
    with pytest.raises(Full, match=r"store\.contents = 1"):
        await backend.put("s", b"d", Bounds(1, 100, 1))
    with pytest.raises(Full, match=r"store\.total_bytes = 5"):
        await backend.put("s", b"def", Bounds(9, 5, 1))
    assert await backend.label("s", "a", held, Bounds(9, 9, 1))
    with pytest.raises(Full, match=r"store\.labels = 1"):
        await backend.label("s", "b", held, Bounds(9, 9, 1))
    assert await backend.usage("s") == Usage(1, 3, 1)
    assert [one.size_bytes for one in await buckets[1].list()] == [3]


async def test_content_longer_than_the_reader_may_have_is_not_read(backend: BucketBackend) -> None:
    held = await backend.put("s", b"0123456789", BOUNDS)
    with pytest.raises(TooLong, match=r"has 10 bytes, more than the grant store\.content_bytes = 9"):
        await backend.get("s", held, 9)


@pytest.mark.parametrize("damage", [None, b"other bytes"])
async def test_damaged_content_is_never_handed_out_and_storing_it_again_repairs_it(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects], damage: bytes | None
) -> None:
    held = await backend.put("s", b"held", BOUNDS)
    [kept] = await buckets[1].list()
    if damage is None:
        await buckets[1].delete(kept.name)
    else:
        await buckets[1].put(kept.name, damage)
    with pytest.raises(Damaged, match=held):
        await backend.get("s", held, 100)
    await backend.put("s", b"held", BOUNDS)
    assert await backend.get("s", held, 100) == b"held"
    assert await backend.usage("s") == Usage(1, 4, 0)
    assert len(await buckets[1].list()) == 1


async def test_what_cannot_be_written_is_not_counted(backend: BucketBackend, buckets: tuple[KeyValue, Objects]) -> None:
    async def refuse(name: str, data: bytes) -> None:
        raise ConnectionError("the server went away")

    failing: Any = Instead(buckets[1], put=refuse)
    with pytest.raises(ConnectionError):
        await BucketBackend(buckets[0], failing).put("s", b"a", BOUNDS)
    assert await backend.usage("s") == Usage()
    assert not await backend.exists("s", reference_of(b"a"))


async def test_a_collection_removes_what_no_label_refers_to_after_the_grace_time(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects]
) -> None:
    kept, loose = [await backend.put("s", content, BOUNDS) for content in (b"kept", b"loose one")]
    await backend.label("s", "a", kept, BOUNDS)
    assert await backend.collect("s", 3600) == Collected(0, 0)
    assert await backend.collect("s", 0, dry_run=True) == Collected(1, 9)
    assert await backend.exists("s", loose)
    assert await backend.collect("s", 0) == Collected(1, 9)
    assert await backend.contents("s") == [kept]
    assert await backend.usage("s") == Usage(1, 4, 1)
    assert len(await buckets[1].list()) == 1


@pytest.mark.parametrize("how", ["store", "label"])
async def test_content_that_is_stored_or_labelled_while_others_collect_it_stays(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects], how: str
) -> None:
    held = await backend.put("s", b"held", BOUNDS)

    async def delete_late(key: str, revision: int | None = None) -> bool:
        """The collection has judged, and somebody is faster."""
        if how == "store":
            await backend.put("s", b"held", BOUNDS)
        else:
            assert await backend.label("s", "a", held, BOUNDS)
        return await buckets[0].delete(key, revision)

    late: Any = Instead(buckets[0], delete=delete_late)
    assert await BucketBackend(late, buckets[1]).collect("s", 0) == Collected(0, 0)
    assert await backend.get("s", held, 10) == b"held"


async def test_content_that_is_stored_right_after_its_key_was_collected_is_there(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects]
) -> None:
    held = await backend.put("s", b"held", BOUNDS)

    async def delete_early(key: str, revision: int | None = None) -> bool:
        """The key is gone, its object is not yet, and somebody stores the content again."""
        deleted = await buckets[0].delete(key, revision)
        await backend.put("s", b"held", BOUNDS)
        return deleted

    early: Any = Instead(buckets[0], delete=delete_early)
    assert await BucketBackend(early, buckets[1]).collect("s", 0) == Collected(1, 4)
    assert await backend.get("s", held, 10) == b"held"
    assert await backend.usage("s") == Usage(1, 4, 0)


async def test_a_collection_tidies_up_what_a_crash_left_and_counts_again(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects]
) -> None:
    held = await backend.put("s", b"held", BOUNDS)
    await backend.label("s", "a", held, BOUNDS)
    young = f"s/{int(time.time() * 1000) + 60_000}-young"
    for name in ("s/0-left", young, "other/0-left"):
        await buckets[1].put(name, b"left behind")
    await buckets[0].put("usage.s", Usage(7, 9999, 3).encoded())
    assert await backend.collect("s", 0) == Collected(0, 0)
    names = {one.name for one in await buckets[1].list()}
    assert names >= {young, "other/0-left"}
    assert len(names) == 3
    assert await backend.usage("s") == Usage(1, 4, 1)


async def test_a_removed_store_leaves_nothing_and_others_stay(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects]
) -> None:
    await backend.create("t", "me", 10)
    kept = await backend.put("t", b"kept", BOUNDS)
    held = await backend.put("s", b"held", BOUNDS)
    await backend.label("s", "a", held, BOUNDS)
    await backend.remove("s")
    await backend.remove("s")
    assert await backend.stores() == await backend.stores("me") == ["t"]
    assert sorted(await buckets[0].keys()) == sorted(["store.t", "usage.t", "owner.me.t", f"content.t.{kept}"])
    assert len(await buckets[1].list()) == 1
    with pytest.raises(NoSuchStore):
        await backend.put("s", b"a", BOUNDS)
    with pytest.raises(NoSuchStore):
        await backend.usage("s")


async def test_one_of_two_who_make_a_store_at_once_owns_it(
    backend: BucketBackend, buckets: tuple[KeyValue, Objects]
) -> None:
    other = BucketBackend(*buckets)
    await asyncio.gather(backend.create("x", "me", 10), other.create("x", "you", 10))
    winner = await backend.owner("x")
    assert [owner for owner in ("me", "you") if "x" in await backend.stores(owner)] == [winner]
    with pytest.raises(Full, match=r"store\.stores = 1"):
        await backend.create("y", "me", 1)
