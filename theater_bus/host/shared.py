"""What all lanes of a host share: the rules for requests and replies, and what becomes of those that are dropped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from theater_bus.core.chain.bodies import Failure, Result
from theater_bus.core.chain.events import decode_event
from theater_bus.core.idempotency import Join, Replay, Window, WindowBounds
from theater_bus.core.values.codec_recorded import recorded_outcome
from theater_bus.core.wire.digest import operation_digest
from theater_bus.core.wire.reply import ReplyRule
from theater_bus.core.wire.request import Limits
from theater_bus.errors import ActorError, SpawnRefused, TheaterError, Unavailable
from theater_bus.host.failure import unexpected
from theater_bus.host.reply import guest_error

if TYPE_CHECKING:
    from theater_bus.bus import Bus
    from theater_bus.core.values.codec import Outcome
    from theater_bus.host.access import Access
    from theater_bus.host.actor import Actor
    from theater_bus.host.archive import Archive
    from theater_bus.host.loan import Loans
    from theater_bus.host.operation import Operation
    from theater_bus.host.package import FunctionEntry
    from theater_bus.host.package_source import PackageSource
    from theater_bus.host.watching import Watching
    from theater_bus.telemetry import Telemetry

__all__ = ["Shared", "Tally"]

log = logging.getLogger("theater_bus.host")


class Tally:
    """What a host has done since it started."""

    __slots__ = ("failed", "operations", "processing_ns", "segment_bytes", "segments")

    def __init__(self) -> None:
        self.operations = self.failed = self.processing_ns = 0
        self.segments = self.segment_bytes = 0


class _Surroundings(Protocol):
    """The parts of the host that lanes reach through `Shared`."""

    bus: Bus
    archive: Archive
    packages: PackageSource
    watching: Watching


class Shared:
    """One per host. Attributes are for reading."""

    def __init__(
        self,
        host: _Surroundings,
        *,
        telemetry: Telemetry,
        replies: ReplyRule,
        caller_subjects: bool,
        max_timeout_ms: int,
        access: Access | None,
        loans: Loans,
    ) -> None:
        self._operations = host.bus.operations
        self._packages = host.packages
        self.archive = host.archive
        self.watching = host.watching
        self.loop = asyncio.get_running_loop()
        self.telemetry = telemetry
        self.replies = replies
        self.caller_subjects = caller_subjects
        self.max_timeout_ms = max_timeout_ms
        self.access = access
        self.loans = loans
        self.limits = Limits()
        self.window_bounds = WindowBounds()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def max_payload(self) -> int:
        """What one message may hold, in bytes."""
        return self._operations.max_payload

    async def object_of(self, actor: Actor, digest: bytes) -> bytes | None:
        """What the actor's chain names by its SHA-256, or None where this host does not have it."""
        manifest, grants = actor.type.manifest, actor.grants
        if digest == manifest.digest:
            return manifest.canonical()
        if digest == grants.digest:
            return grants.canonical()
        found = await self.archive.store_of(actor).payload(digest)
        if found is None and digest == actor.type.package.sha256:
            try:
                found = await self._packages.by_digest(digest)
            except SpawnRefused:
                return None
        return found

    def refused_reply(self, subject: str, reply: str) -> None:
        """A request wanted its answer published somewhere that is no inbox: it did not run."""
        self.telemetry.count("theater.requests.refused", 1, reason="reply-subject")
        self.telemetry.event("request.refused", subject=subject, reason=f"reply subject {reply[:120]!r} is no inbox")

    def dropped(self, actor: Actor, subject: str, error: TheaterError) -> None:
        """A one-way send was refused before it entered the guest."""
        code = error.code if isinstance(error, ActorError) else type(error).__name__
        self.telemetry.count("theater.requests.refused", 1, reason=code)
        self.telemetry.event("request.refused", actor=actor.identity.id, subject=subject, reason=str(error))

    def lost_reply(self, subject: str, error: TheaterError) -> None:
        """A reply could not be published."""
        self.telemetry.event("reply.lost", subject=subject, reason=str(error))

    def admits(self, actor: Actor, op: Operation) -> bool:
        """Whether an operation with a key is to run. A repeat is not: it gets the answer of the first. HOT.

        Raises `KeyReused`.
        """
        assert op.key is not None
        window = actor.window
        if window is None:
            window = actor.window = Window(self.window_bounds)
        op.digest = operation_digest(op.entry.name, op.params.standalone)
        admission = window.admit(*op.key, op.digest, op)
        if isinstance(admission, Join):
            admission.token.join(op)
            return False
        if isinstance(admission, Replay):
            self.replay(actor, op, admission)
            return False
        return True

    def replay(self, actor: Actor, op: Operation, recorded: Replay) -> None:
        """Answer a repeat of a committed operation with the recorded answer, encoded as asked now."""
        if recorded.answer is not None:
            self._replay(actor, op, recorded.answer, recorded.is_error)
            return
        task = self.loop.create_task(self._replay_from_chain(actor, op, recorded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def recorded_answer(self, actor: Actor, recorded: Replay) -> dict[str, Any]:
        """`{value}` or `{error}` of a committed operation, its function taken from the chain."""
        function, answer = await self._from_chain(actor, recorded)
        entry = actor.type.function(function)
        outcome = _recorded(entry, answer, not recorded.is_error)
        if recorded.is_error:
            return {"error": guest_error(entry, outcome).to_wire()}
        return {"value": outcome.plain(entry.decode_nodes)}

    async def _replay_from_chain(self, actor: Actor, op: Operation, recorded: Replay) -> None:
        try:
            _, answer = await self._from_chain(actor, recorded)
        except ActorError as error:
            op.answer(None, error)
        except Exception as error:  # noqa: BLE001  answered and logged
            op.answer(None, unexpected(self.telemetry, actor.identity.id, op.entry.name, error))
        else:
            self._replay(actor, op, answer, recorded.is_error)

    def _replay(self, actor: Actor, op: Operation, answer: bytes, is_error: bool) -> None:
        outcome = _recorded(op.entry, answer, not is_error)
        op.answer(outcome, None)
        if op.trace is not None:
            op.trace.end("guest-error" if is_error else None)

    async def _from_chain(self, actor: Actor, recorded: Replay) -> tuple[str, bytes]:
        """The function and the answer's bytes of a committed operation, read from its segment."""
        store = self.archive.store_of(actor)
        page = await store.read(actor.identity.id, recorded.sequence, 1)
        for segment in page.segments:
            for data in getattr(segment, "events", ()):
                event = decode_event(data)
                body = event.body
                if isinstance(body, Result | Failure) and event.seq >= recorded.sequence:
                    value = body.value
                    if isinstance(value, bytes):
                        return body.function, value
                    payload = None if value is None else await store.payload(value.digest)
                    if payload is not None:
                        return body.function, payload
        raise Unavailable(
            "the answer was committed, but the chain does not hold it any more", ran="committed", seq=recorded.sequence
        )


def _recorded(entry: FunctionEntry, answer: bytes, ok: bool) -> Outcome:
    return recorded_outcome(entry.codec.function, entry.stateful, answer, ok)
