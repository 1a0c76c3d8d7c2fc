"""The replay of one chain: verify a segment, then run what it records, then the next one.

Invariants: no segment is run before it is verified; no capability exists, so nothing outside can happen; the first
divergence ends the running, not the verifying, so that a chain that is corrupt further on is called corrupt.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable

from theater_bus.core.chain.bodies import Call, Checkpoint, Failure, Genesis, HostCall, LogRun, Result
from theater_bus.core.chain.control import FreshInstance, Recovered, Restarted, Updated
from theater_bus.core.chain.divergence import CallScript, Divergence, RecordedCall, RecordedOperation, compare_state
from theater_bus.core.chain.events import Event, unpack
from theater_bus.core.chain.layout import Misshapen, Payload
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import ChainVerifier, Problem
from theater_bus.core.chain.verify import Verdict as Integrity
from theater_bus.core.manifest import Manifest, from_mapping
from theater_bus.engine import Engine
from theater_bus.errors import ChainTampered, ConfigurationError
from theater_bus.host.replay.guest import NO_ANSWER, LoadGuest, ReplayGuest, Stopped, load_pack_guest
from theater_bus.host.replay.objects import Missing, ObjectDesk, Objects
from theater_bus.host.replay.report import ReplayReport, Verdict

__all__ = ["Replay", "replay"]


class Replay:
    """Replays a chain that is fed to it segment by segment; `report` says what was found so far.

    `package` runs in place of the recorded one, `manifest` in place of what `objects` has under the recorded digest.
    Operations that begin behind the event `until` are not run.
    """

    def __init__(
        self,
        engine: Engine,
        objects: Objects,
        *,
        package: bytes | None = None,
        manifest: Manifest | None = None,
        load: LoadGuest = load_pack_guest,
        until: int | None = None,
    ) -> None:
        self._engine, self._load = engine, load
        self._package, self._manifest = package, manifest
        self._until = until
        self._objects = ObjectDesk(objects)
        self._verified: list[Event] = []
        self._verifier = ChainVerifier(self._objects.find, take=self._verified.append)
        self._guest: ReplayGuest | None = None
        self._recorded_package: bytes | None = None
        self._state: bytes | None = None
        self._from_seq: int | None = None
        self._operations = 0
        self._imposed = 0
        self._divergence: Divergence | None = None
        self._problem: Problem | None = None
        self._missing: dict[bytes, None] = {}

    @property
    def is_over(self) -> bool:
        """Whether running has ended; what is fed after that is verified only."""
        return self._divergence is not None or self._problem is not None

    async def feed(self, segment: Segment | Spilled) -> bool:
        """Verify the next segment and run what it records. Whether the chain is whole so far.

        Raises `SpawnRefused` for a package that cannot be loaded.
        """
        await self._objects.bring(segment)
        whole = self._verifier.segment(segment)
        events, self._verified[:] = list(self._verified), []
        is_wanted = self._until is None or segment.first <= self._until
        if whole and is_wanted and not self.is_over:
            try:
                await self._run(segment, events)
            except Missing as missing:
                self._missing[missing.digest] = None
                self._problem = Problem(segment.first, str(missing))
            except ChainTampered as wrong:
                whole = self._verifier.fail(ChainTampered(wrong.reason, seq=segment.first))
        self._objects.clear()
        return whole

    def report(self) -> ReplayReport:
        """What was found so far."""
        integrity = self._verifier.report()
        missing = {**dict.fromkeys(integrity.missing), **self._missing}
        problem = integrity.problem or self._problem
        verdict = Verdict.IDENTICAL
        if integrity.verdict is Integrity.CORRUPT:
            verdict = Verdict.CORRUPT
        elif self._divergence is not None:
            verdict = Verdict.DIVERGED
        elif missing or problem is not None or self._from_seq is None:
            verdict = Verdict.INCOMPLETE
            problem = problem or Problem(integrity.first_seq, _what_lacks(missing))
        return ReplayReport(
            verdict,
            integrity.events,
            self._operations,
            self._imposed,
            self._from_seq,
            None if self._guest is None else self._guest.sha256.hex(),
            None if self._recorded_package is None else self._recorded_package.hex(),
            self._divergence,
            problem,
            tuple(missing),
        )

    def close(self) -> None:
        """Free the guest."""
        if self._guest is not None:
            self._guest.renew()

    # -- what happened between operations ------------------------------------------------------------------------------

    async def _run(self, segment: Segment | Spilled, events: list[Event]) -> None:
        if not events and isinstance(segment, Spilled):
            raise Missing(segment.digest, "segment")
        call: Call | None = None
        calls: list[tuple[int, RecordedCall]] = []
        for event in events:
            body = event.body
            if isinstance(body, Call):
                call = body
            elif isinstance(body, HostCall | LogRun):
                calls.append((event.seq, body))
            elif isinstance(body, Result | Failure):
                if call is not None and self._guest is not None:
                    await self._operation(self._guest, RecordedOperation(call, calls, (event.seq, body)))
            else:
                await self._between(event)
            if self.is_over:
                return

    async def _between(self, event: Event) -> None:
        body = event.body
        if isinstance(body, Genesis) or (isinstance(body, Checkpoint) and self._guest is None):
            await self._load_package(body.package, body.manifest)
            self._state = await self._objects.optional(body.state)
            self._from_seq = event.seq if self._from_seq is None else self._from_seq
        elif self._guest is None:
            return
        elif isinstance(body, Checkpoint):
            self._divergence = compare_state(event.seq, body.state, self._state)
        elif isinstance(body, Updated):
            await self._load_package(body.new.package, body.new.manifest)
        elif isinstance(body, FreshInstance | Restarted | Recovered):
            self._guest.renew()

    async def _load_package(self, package: bytes, manifest: bytes) -> None:
        self.close()
        self._recorded_package = package
        wasm = self._package if self._package is not None else await self._objects.get(package, "package")
        self._guest = await self._load(self._engine, wasm, await self._manifest_of(manifest))

    async def _manifest_of(self, digest: bytes) -> Manifest | None:
        """The manifest, for its limits and isolation; a chain in memory keeps none, and the defaults hold."""
        if self._manifest is not None:
            return self._manifest
        try:
            return from_mapping(unpack(await self._objects.get(digest, "manifest")), "the recorded manifest")
        except Missing:
            return None
        except (Misshapen, ConfigurationError) as wrong:
            raise ChainTampered(f"the manifest {digest.hex()} cannot be read: {wrong}") from wrong

    # -- one operation -------------------------------------------------------------------------------------------------

    async def _operation(self, guest: ReplayGuest, operation: RecordedOperation) -> None:
        script = CallScript(operation, guest.sha256 == self._recorded_package)
        answers = [await self._answer_of(recorded) for _, recorded in operation.calls]

        def answer(interface: str, function: str, data: bytes) -> bytes:
            place = script.next(interface, function, data)
            if place is None:
                raise Stopped
            return answers[place]

        ended = None
        if not script.is_over:
            params = await self._objects.payload(operation.call.params)
            ended = await guest.run(operation.call.function, self._state, params, answer)
        self._divergence = script.divergence if ended is None else script.finish(ended, self._state)
        if ended is None:
            self._imposed += self._divergence is None
            guest.renew()
        else:
            self._operations += 1
        self._state = await self._state_after(operation.end[1])

    async def _answer_of(self, recorded: RecordedCall) -> bytes:
        output: Payload | None = None if isinstance(recorded, LogRun) else recorded.output
        return NO_ANSWER if output is None else await self._objects.payload(output)

    async def _state_after(self, end: Result | Failure) -> bytes | None:
        """The record's state: it is the replayed one too, in the recorded package's own bytes."""
        if isinstance(end, Failure) or end.state is None:
            return self._state
        return await self._objects.payload(end.state)


async def replay(
    segments: AsyncIterable[Segment | Spilled] | Iterable[Segment | Spilled],
    objects: Objects,
    *,
    package: bytes | None = None,
    manifest: Manifest | None = None,
    engine: Engine | None = None,
    load: LoadGuest = load_pack_guest,
    until: int | None = None,
) -> ReplayReport:
    """Replay a chain, given in order, and say what was found.

    `objects` finds by SHA-256 what the chain names. `package` (a module's bytes) runs in place of the recorded one and
    is compared by values; `manifest` gives limits and isolation where `objects` has none. Operations that begin behind
    the event `until` are verified, not run. An `engine` of the running loop saves making one. Raises `SpawnRefused` for
    a package that cannot be loaded.
    """
    used = engine or Engine()
    running = Replay(used, objects, package=package, manifest=manifest, load=load, until=until)
    try:
        async for segment in _each(segments):
            if not await running.feed(segment):
                break
        return running.report()
    finally:
        running.close()
        if engine is None:
            await used.close()


async def _each(
    segments: AsyncIterable[Segment | Spilled] | Iterable[Segment | Spilled],
) -> AsyncIterator[Segment | Spilled]:
    if isinstance(segments, AsyncIterable):
        async for segment in segments:
            yield segment
    else:
        for segment in segments:
            yield segment


def _what_lacks(missing: dict[bytes, None]) -> str:
    if missing:
        return f"{len(missing)} objects that the chain names are missing"
    return "there is no genesis or checkpoint to begin with. Fix: read the chain from its beginning"
