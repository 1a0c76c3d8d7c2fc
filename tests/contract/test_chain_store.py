"""What every chain store promises, checked on each of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import pytest

from theater_bus.core.chain.batch import Batch
from theater_bus.core.chain.bodies import Exit, Genesis
from theater_bus.core.chain.segments import Segment
from theater_bus.core.chain.verify import Verdict
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.errors import ActorError, ActorNotFound, ChainTampered
from theater_bus.host.chain import FileStore, MemoryStore

ID = bytes(16)
Store: TypeAlias = MemoryStore | FileStore


@pytest.fixture(params=["memory", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = MemoryStore() if request.param == "memory" else await FileStore.start(tmp_path)
    yield made
    await made.close()


class Actor:
    """An actor's writer, and appends that are awaited."""

    def __init__(self, store: Store, name: str = "a", inline_max: int = 1000) -> None:
        self.store, self.name = store, name
        self.writer = ChainWriter(name, ID, inline_max=inline_max)
        self.tail = store.open(name, ID)

    def genesis(self) -> Segment:
        digest = bytes(32)
        body = Genesis(self.name, ID, digest, digest, digest, b"s0", "e", "a", self.writer.inline_max, None, None)
        return self.writer.write(1, body)

    def operation(self, value: bytes = b"value", state: bytes | None = None) -> Segment:
        recording = self.writer.begin(2, "f", b"params", "key")
        recording.result(3, value, state)
        return recording.commit()

    async def append(self, *segments: Segment) -> ActorError | None:
        done: asyncio.Future[ActorError | None] = asyncio.get_running_loop().create_future()
        self.store.append(self.name, segments, done.set_result)
        return await done


async def test_what_was_appended_is_read_back_byte_for_byte(store: Store) -> None:
    actor = Actor(store)
    segments = [actor.genesis(), actor.operation(), actor.operation()]
    assert await actor.append(*segments) is None
    page = await store.read("a")
    assert [segment.events for segment in page.segments if isinstance(segment, Segment)] == [s.events for s in segments]
    assert (page.first_seq, page.next_seq, page.end_seq) == (0, 5, 5)
    assert (actor.tail.next_seq, actor.tail.head) == (5, actor.writer.head)


async def test_pages_hold_whole_segments_and_lead_to_the_end(store: Store) -> None:
    actor = Actor(store)
    await actor.append(actor.genesis(), *(actor.operation() for _ in range(5)))
    seen, at = [], 2
    while True:
        page = await store.read("a", at, limit=2)
        seen += [segment.first for segment in page.segments]
        at = page.next_seq
        if at == page.end_seq:
            break
    assert seen == [1, 3, 5, 7, 9]
    assert (await store.read("a", 11)).segments == ()
    assert (await store.read("a", 99)).next_seq == 11


async def test_a_page_is_bounded_by_bytes_but_never_empty(store: Store) -> None:
    actor = Actor(store)
    first, second = actor.genesis(), actor.operation()
    await actor.append(first, second, actor.operation())
    assert [s.first for s in (await store.read("a", max_bytes=1)).segments] == [0]
    assert [s.first for s in (await store.read("a", max_bytes=first.size_bytes)).segments] == [0]
    assert [s.first for s in (await store.read("a", max_bytes=first.size_bytes + second.size_bytes)).segments] == [0, 1]


async def test_the_log_of_an_actor_that_was_opened_is_empty(store: Store) -> None:
    Actor(store)
    page = await store.read("a")
    assert (page.segments, page.next_seq, page.end_seq, page.first_seq) == ((), 0, 0, 0)


async def test_appends_are_decided_in_order(store: Store) -> None:
    actor = Actor(store)
    decided: list[int] = []
    last: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for number in range(20):
        segment = actor.operation() if number else actor.genesis()

        def done(error: ActorError | None, number: int = number) -> None:
            decided.append(number)
            if number == 19:
                last.set_result(None)

        store.append("a", (segment,), done)
    await last
    assert decided == list(range(20))


async def test_segments_that_do_not_go_on_are_refused_and_change_nothing(store: Store) -> None:
    actor = Actor(store)
    await actor.append(actor.genesis())
    skipped, later = actor.operation(b"v" * 2000), actor.operation()
    with pytest.raises(ChainTampered, match="event 3: a: appended out of order, expected event 1"):
        store.append("a", (later,), lambda error: None)
    assert await actor.append(skipped, later) is None
    with pytest.raises(ChainTampered):
        store.append("a", (later,), lambda error: None)


async def test_an_actor_that_was_never_opened_is_not_found(store: Store) -> None:
    for call in (store.read("nobody"), store.verify("nobody")):
        with pytest.raises(ActorNotFound):
            await call
    with pytest.raises(ActorNotFound):
        store.append("nobody", (), lambda error: None)
    with pytest.raises(ActorNotFound):
        store.watch("nobody", None)


async def test_long_payloads_are_found_by_their_digest_and_verify(store: Store) -> None:
    actor = Actor(store)
    first, long = actor.genesis(), actor.operation(b"v" * 2000, b"s" * 3000)
    await actor.append(first, long)
    assert {await store.payload(digest) for digest, _ in long.objects} == {b"v" * 2000, b"s" * 3000}
    assert await store.payload(b"x" * 32) is None
    report = await store.verify("a")
    assert (report.verdict, report.events, report.anchored) == (Verdict.INTACT, 3, True)


async def test_watchers_get_every_batch_once_it_is_kept_until_they_stop(store: Store) -> None:
    actor = Actor(store)
    seen: list[Batch] = []
    await actor.append(actor.genesis())
    store.watch("a", seen.append)
    await actor.append(actor.operation(state=b"s1"))
    await actor.append(actor.operation())
    await asyncio.sleep(0)
    store.watch("a", None)
    await actor.append(actor.operation())
    assert [(batch.first, batch.next_seq, batch.prev_stream_seq) for batch in seen] == [(1, 3, 1), (3, 5, 2)]
    assert [(batch.state_seq, batch.checkpoint_seq) for batch in seen] == [(0, 1), (2, 1)]


async def test_batches_say_what_the_host_settled(store: Store) -> None:
    actor = Actor(store)
    seen: list[Batch] = []
    store.watch("a", seen.append)
    await actor.append(actor.genesis())
    actor.tail.sent_through = 7
    await actor.append(actor.operation())
    await asyncio.sleep(0)
    assert [batch.sent_through for batch in seen] == [0, 7]


async def test_an_incarnation_goes_on_in_the_log_of_the_one_before(store: Store) -> None:
    actor = Actor(store)
    await actor.append(actor.genesis())
    await actor.append(actor.writer.write(5, Exit("exited", None)))
    assert actor.tail.exited
    actor.store.open("a", b"2" * 16, 4)
    digest = bytes(32)
    body = Genesis("a", b"2" * 16, digest, digest, digest, None, "e", "a", 1000, None, None)
    await actor.append(actor.writer.write(6, body))
    assert (actor.tail.exited, actor.tail.incarnation, actor.tail.epoch) == (False, b"2" * 16, 4)
    report = await store.verify("a")
    assert (report.verdict, len(report.incarnations)) == (Verdict.INTACT, 2)


async def test_logs_are_apart(store: Store) -> None:
    one, other = Actor(store, "one"), Actor(store, "other")
    await asyncio.gather(one.append(one.genesis()), other.append(other.genesis(), other.operation()))
    assert {tail.actor: tail.next_seq for tail in store.tails()} == {"one": 1, "other": 3}
    assert (await store.read("one")).end_seq == 1
