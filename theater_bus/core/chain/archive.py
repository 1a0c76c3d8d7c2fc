"""A chain as one file: its segments, and what they name by digest, so that it can be verified and replayed anywhere.

The file is a sequence of msgpack arrays `[kind, body]`:

    ["theater-chain", {"v": 1, "actor": id, "namespace": name}]
    ["object", bin]                                  anything that a segment behind it names by its SHA-256
    ["segment", segment map]                         as the chain page defines it, in order
    ["end", {"count": events, "head": bin 32, "missing": [bin 32, …]}]

Invariants: an object stands before the segment that names it; a file that was cut off has no end, and is refused; what
the file says is not trusted: objects are found by the digest of what they are, and hashes are the verifier's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgpack as _msgpack

from theater_bus.core.chain.bodies import Checkpoint, Genesis
from theater_bus.core.chain.control import Updated
from theater_bus.core.chain.events import decode_event, pack, sha256
from theater_bus.core.chain.layout import Misshapen, Stored
from theater_bus.core.chain.segments import Segment, Spilled, is_bin, is_uint, load_segment, segment_map
from theater_bus.core.chain.verify import payloads
from theater_bus.errors import ChainTampered

msgpack: Any = _msgpack

__all__ = ["Archive", "begin", "end", "named", "object_record", "read_archive", "segment_record"]

KIND: Final = "theater-chain"
VERSION: Final = 1
MAX_RECORD: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Archive:
    """What a file holds. `missing` are the digests of objects that could not be had when it was written."""

    actor: str
    namespace: str
    segments: tuple[Segment | Spilled, ...]
    objects: dict[bytes, bytes]
    missing: tuple[bytes, ...]

    def whole(self, segment: Segment | Spilled) -> Segment | Spilled:
        """The segment with its events, where the file has them. Raises `ChainTampered` for other ones."""
        data = self.objects.get(segment.digest) if isinstance(segment, Spilled) else None
        return segment if data is None else segment.unspill(data)  # type: ignore[union-attr]

    def absent(self) -> tuple[bytes, ...]:
        """The digests of what the chain names and the file has not, packages, manifests and grants included.

        An object that was changed is another one, so that the one that is named is absent. Raises `ChainTampered`.
        """
        found: dict[bytes, None] = {}
        for segment in map(self.whole, self.segments):
            names = named(segment) if isinstance(segment, Segment) else (segment.digest,)
            found.update(dict.fromkeys(digest for digest in names if digest not in self.objects))
        return tuple(found)

    async def object(self, digest: bytes) -> bytes | None:
        """An object by its SHA-256, or None: what a replay asks for."""
        return self.objects.get(digest)


def begin(actor: str, namespace: str) -> bytes:
    """The first record."""
    return pack([KIND, {"v": VERSION, "actor": actor, "namespace": namespace}])


def object_record(data: bytes) -> bytes:
    """The record of an object."""
    return pack(["object", data])


def segment_record(segment: Segment | Spilled) -> bytes:
    """The record of a segment."""
    return pack(["segment", segment_map(segment)])


def end(count: int, head: bytes, missing: Iterable[bytes]) -> bytes:
    """The last record."""
    return pack(["end", {"count": count, "head": head, "missing": list(missing)}])


def named(segment: Segment) -> Iterator[bytes]:
    """The digests of what a segment names: payloads, packages, manifests, grants. Raises `ChainTampered`."""
    for data in segment.events:
        body = decode_event(data).body
        for payload in payloads(body):
            if isinstance(payload, Stored):
                yield payload.digest
        if isinstance(body, Genesis | Checkpoint):
            yield from (body.package, body.manifest, body.grants)
        elif isinstance(body, Updated):
            yield from (body.new.package, body.new.manifest, body.new.grants)


def read_archive(data: bytes) -> Archive:
    """What the file with these bytes holds. Raises `ChainTampered` for one that is none, or that was cut off."""
    records = _records(data)
    kind, head = next(records, (None, None))
    if kind != KIND or type(head) is not dict or head.get("v") != VERSION:
        raise ChainTampered("this is no exported chain, or one of another version")
    actor, namespace = head.get("actor"), head.get("namespace")
    if type(actor) is not str or type(namespace) is not str:
        raise ChainTampered("an exported chain names no actor")
    segments: list[Segment | Spilled] = []
    objects: dict[bytes, bytes] = {}
    for kind, body in records:
        if kind == "object" and type(body) is bytes:
            objects[sha256(body)] = body
        elif kind == "segment":
            segments.append(_segment(body))
        elif kind == "end":
            missing = _ended(body, segments)
            if next(records, None) is not None:
                raise ChainTampered("an exported chain goes on behind its end")
            return Archive(actor, namespace, tuple(segments), objects, missing)
        else:
            raise ChainTampered(f"an exported chain holds a record of kind {kind!r:.40}")
    raise ChainTampered("an exported chain has no end: the file was cut off. Fix: export it again")


def _records(data: bytes) -> Iterator[tuple[Any, Any]]:
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=True, max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    while unpacker.tell() < len(data):
        try:
            record = unpacker.unpack()
        except msgpack.OutOfData:
            return
        except (ValueError, msgpack.UnpackException) as error:
            raise ChainTampered(f"an exported chain holds what is no msgpack: {error}") from None
        if type(record) is not list or len(record) != 2:
            raise ChainTampered("this is no exported chain: a record is no pair")
        yield record[0], record[1]


def _segment(body: Any) -> Segment | Spilled:
    try:
        return load_segment(body)
    except Misshapen as wrong:
        raise ChainTampered(str(wrong)) from None


def _ended(body: Any, segments: list[Segment | Spilled]) -> tuple[bytes, ...]:
    count = sum(segment.count for segment in segments)
    head = segments[-1].head if segments else bytes(32)
    if type(body) is not dict or not is_uint(body.get("count")) or type(body.get("missing")) is not list:
        raise ChainTampered("the end of an exported chain cannot be read")
    if (body["count"], body.get("head")) != (count, head):
        raise ChainTampered(f"an exported chain ends with {count} events, and says that it has {body['count']}")
    if not all(is_bin(digest, 32) for digest in body["missing"]):
        raise ChainTampered("the end of an exported chain cannot be read")
    return tuple(body["missing"])
