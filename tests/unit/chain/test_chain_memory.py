"""The ring in memory: what it keeps, what it drops, and that what is left verifies."""

from theater_bus.core.chain.segments import Segment
from theater_bus.core.chain.verify import Verdict
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.host.chain import MemoryStore

ID = bytes(16)


def fill(store: MemoryStore, count: int, value: bytes = b"v") -> ChainWriter:
    writer = ChainWriter("a", ID, inline_max=64)
    store.open("a", ID)
    for _ in range(count):
        recording = writer.begin(1, "f", b"", "k")
        recording.result(2, value, None)
        store.append("a", (recording.commit(),), lambda error: None)
    return writer


async def test_an_append_is_decided_before_it_returns() -> None:
    store, decided = MemoryStore(), []
    writer = ChainWriter("a", ID)
    store.open("a", ID)
    recording = writer.begin(1, "f", b"", "k")
    recording.result(2, b"", None)
    store.append("a", (recording.commit(),), decided.append)
    assert decided == [None]
    assert not store.refusing


async def test_the_oldest_segments_are_dropped_by_count_and_the_rest_verifies() -> None:
    store = MemoryStore(max_events=6)
    writer = fill(store, 10)
    page = await store.read("a", 0)
    assert (page.first_seq, page.end_seq, [segment.first for segment in page.segments]) == (14, 20, [14, 16, 18])
    assert [segment.first for segment in (await store.read("a", 17)).segments] == [16, 18]
    report = await store.verify("a")
    assert (report.verdict, report.anchored, report.head) == (Verdict.INTACT, False, writer.head)


async def test_payloads_count_and_go_with_the_last_segment_that_names_them() -> None:
    store = MemoryStore(max_bytes=3000)
    writer = fill(store, 2, b"v" * 1000)
    (digest,) = {digest for segment in (await store.read("a")).segments for digest, _ in objects(segment)}
    assert await store.payload(digest) == b"v" * 1000
    recording = writer.begin(1, "f", b"", "k")
    recording.result(2, b"w" * 2000, None)
    store.append("a", (recording.commit(),), lambda error: None)
    assert (await store.read("a")).first_seq == 4
    assert await store.payload(digest) is None


def objects(segment: object) -> tuple[tuple[bytes, bytes], ...]:
    assert isinstance(segment, Segment)
    return segment.objects


async def test_the_last_segment_is_kept_however_long() -> None:
    store = MemoryStore(max_bytes=10, max_events=1)
    fill(store, 3)
    assert [segment.first for segment in (await store.read("a")).segments] == [4]


async def test_each_log_can_have_bounds_of_its_own() -> None:
    store = MemoryStore()
    store.open("a", ID)
    store.bound("a", 2, 1 << 20)
    fill(store, 3)
    assert (await store.read("a")).first_seq == 4


async def test_a_forgotten_actor_leaves_nothing_and_its_id_is_free() -> None:
    store = MemoryStore()
    fill(store, 2, b"v" * 1000)
    (digest,) = {digest for segment in (await store.read("a")).segments for digest, _ in objects(segment)}
    store.forget("a")
    store.forget("a")
    assert await store.payload(digest) is None
    assert store.tails() == []
    fill(store, 1)
    assert (await store.read("a")).end_seq == 2
