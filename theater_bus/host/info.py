"""What an actor answers about itself, from snapshots of what the chain has acknowledged. Nothing here waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from time import time_ns
from typing import TYPE_CHECKING, Any

from theater_bus.core.chain.segments import Segment, Spilled, segment_map
from theater_bus.core.grants import OWN
from theater_bus.core.idempotency import Join, Replay
from theater_bus.core.values.caller_view import caller_view
from theater_bus.core.values.hashing import function_hash
from theater_bus.core.values.pact_format import format_type
from theater_bus.core.wire.form import Form
from theater_bus.core.wire.request import Request
from theater_bus.core.wire.strict import write_json, write_msgpack
from theater_bus.host.verb_lane import Fields, Handler

if TYPE_CHECKING:
    from theater_bus.core.values.subtree import Subtree
    from theater_bus.host.actor import Actor
    from theater_bus.host.shared import Shared

__all__ = ["info_handlers"]

_MARGIN_BYTES = 1024
_PLAIN_GROWTH = 8
"""A plain value may take more bytes than the CGRF nodes it comes from: so many times at most, as JSON."""


def info_handlers(actor: Actor, shared: Shared) -> Mapping[str, Handler]:
    """The handlers of the info channel of `actor`."""
    desk = _Info(actor, shared)
    return {
        "status": desk.status,
        "state": desk.state,
        "chain": desk.chain,
        "object": desk.object,
        "metrics": desk.metrics,
        "exports": desk.exports,
        "manifest": desk.manifest,
        "grants": desk.grants,
        "operation": desk.operation,
        "watch": desk.watch,
    }


class _Info:
    __slots__ = ("_actor", "_shared")

    def __init__(self, actor: Actor, shared: Shared) -> None:
        self._actor = actor
        self._shared = shared

    def status(self, fields: Fields) -> dict[str, Any]:
        actor = self._actor
        op = actor.current
        running = None
        if op is not None:
            running = {
                "function": op.entry.name,
                "since_ms": max(0, time_ns() - op.started_ns) // 1_000_000,
                "op": op.op,
                "path": list(op.path),
            }
        reason = actor.phases.reason
        return {
            "id": actor.identity.id,
            "name": actor.identity.name,
            "phase": actor.phases.phase.value,
            "reason": actor.failure_note or (reason.value if reason is not None else None),
            "host": actor.identity.host,
            "incarnation": actor.journal.writer.incarnation,
            "package": actor.type.package.digest_text,
            "durability": actor.type.manifest.chain.durability,
            "running": running,
            "queued": len(actor.mailbox),
            "parent": None if actor.parent is None else actor.parent.identity.id,
            "children": 0 if actor.household is None else len(actor.household.children),
            "approvals": [] if actor.approvals is None else actor.approvals.listed(),
            **self._as_of(),
        }

    def state(self, fields: Fields) -> Any:
        state = self._actor.journal.settled.state
        as_of = self._as_of()
        if fields["form"] == "cgrf":
            data = None if state is None else state.standalone()
            if data is not None and self._is_large(len(data)):
                return self._lend(data, as_of)
            return {"cgrf": data, **as_of}
        value, write = self._plain_state(state, fields[""])
        if state is not None and self._is_large(len(state.nodes) * _PLAIN_GROWTH):
            data = write(value)
            if self._is_large(len(data)):
                return self._lend(data, as_of)
        return {"state": value, **as_of}

    def _plain_state(self, state: Subtree | None, request: Request) -> tuple[Any, Callable[[Any], bytes]]:
        """The state as the request wants it, and what writes it so."""
        codec = self._actor.type.state_codec
        is_msgpack = request.form is Form.MSGPACK
        write = write_msgpack if is_msgpack else write_json
        if state is None or codec is None:
            return None, write
        nodes = self._actor.type.manifest.limits.decode_nodes
        if is_msgpack:
            return codec.decode(state, nodes), write
        return codec.decode_json(state, "string" if request.int64_strings else "number", nodes), write

    def _is_large(self, size_bytes: int) -> bool:
        return size_bytes + _MARGIN_BYTES > self._shared.max_payload

    async def _lend(self, data: bytes, as_of: dict[str, Any], what: str = "the state") -> dict[str, Any]:
        loan = await self._shared.loans.lend(data, what, self._shared.max_payload)
        return {"digest": f"sha256:{loan.digest.hex()}", "size": loan.size_bytes, "object": loan.name, **as_of}

    async def chain(self, fields: Fields) -> dict[str, Any]:
        actor = self._actor
        end = actor.journal.settled.seq
        page = await self._shared.archive.store_of(actor).read(
            actor.identity.id,
            fields["from"],
            fields["limit"],
            min(fields["bytes"], self._shared.max_payload - 16 * _MARGIN_BYTES),
        )
        return {
            "segments": [segment_map(await self._sendable(segment)) for segment in page.segments],
            "next": page.next_seq if page.next_seq < min(end, page.end_seq) else None,
            **self._as_of(),
        }

    async def _sendable(self, segment: Segment | Spilled) -> Segment | Spilled:
        """The segment, or, where a message cannot take it, a spilled one whose events are lent."""
        if isinstance(segment, Spilled) or not self._is_large(segment.size_bytes):
            return segment
        spilled, data = segment.spill()
        what = f"the segment of events {spilled.first} to {spilled.first + spilled.count - 1}"
        await self._shared.loans.lend(data, what, self._shared.max_payload)
        return spilled

    async def object(self, fields: Fields) -> dict[str, Any]:
        digest = bytes.fromhex(fields["digest"].removeprefix("sha256:"))
        data = await self._shared.object_of(self._actor, digest)
        if data is not None and self._is_large(len(data)):
            return await self._lend(data, self._as_of(), "the object")
        return {"data": data, **self._as_of()}

    def metrics(self, fields: Fields) -> dict[str, Any]:
        actor = self._actor
        if actor.instance is not None and not actor.instance.busy:
            actor.metrics.memory(actor.instance.memory_bytes)
        return {**actor.metrics.snapshot(self._shared.loop.time(), actor.mailbox), **self._as_of()}

    def exports(self, fields: Fields) -> dict[str, Any]:
        package = self._actor.type.package
        functions = []
        for name in sorted(self._actor.type.callable):
            export = self._actor.type.exports[name]
            declared = export.function
            params = declared.params[1:] if export.stateful else declared.params
            functions.append(
                {
                    "name": name,
                    "params": [{"name": p.name, "type": format_type(p.type)} for p in params],
                    "result": None if declared.result is None else format_type(declared.result),
                    "hash": function_hash(caller_view(declared, export.stateful)),
                }
            )
        hashes = package.metadata.export_hashes
        return {
            "functions": functions,
            "hashes": [{"interface": name, "hash": hashes[name]} for name in sorted(hashes)],
            **self._as_of(),
        }

    def manifest(self, fields: Fields) -> dict[str, Any]:
        manifest = self._actor.type.manifest
        return {"manifest": manifest.to_plain(), "digest": f"sha256:{manifest.digest.hex()}", **self._as_of()}

    def grants(self, fields: Fields) -> dict[str, Any]:
        effective = self._actor.effective
        kinds = {one.name: one.cls.grant_bounds() for one in self._actor.type.capabilities}
        return {
            "second": effective.second,
            "capabilities": list(kinds),
            "settings": [
                effective.explain(name, setting).to_plain()
                for name in sorted(kinds)
                if effective.manifest.of(name) is not None
                for setting, kind in sorted(kinds[name].items(), key=itemgetter(0))
                if kind is not OWN
            ],
            **self._as_of(),
        }

    async def operation(self, fields: Fields) -> dict[str, Any]:
        window = self._actor.window
        known = None if window is None else window.look(fields["caller"], fields["op"])
        if known is None:
            return {"outcome": "not-recorded", "answer": None, **self._as_of()}
        if isinstance(known, Join):
            return {"outcome": "running", "answer": None, **self._as_of()}
        assert isinstance(known, Replay)
        answer = await self._shared.recorded_answer(self._actor, known)
        return {"outcome": "committed", "answer": answer, **self._as_of()}

    def watch(self, fields: Fields) -> dict[str, Any]:
        subject = self._shared.watching.renew(self._actor, fields["ttl_ms"] / 1000)
        return {"subject": subject, "ttl_ms": fields["ttl_ms"], **self._as_of()}

    def _as_of(self) -> dict[str, Any]:
        settled = self._actor.journal.settled
        return {"as_of": {"sequence": settled.seq - 1, "head": settled.head}}
