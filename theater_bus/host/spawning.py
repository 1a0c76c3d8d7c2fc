"""From a manifest and a package to an actor that answers: checks first, then each step, and back out on failure."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from time import time, time_ns
from typing import TYPE_CHECKING, Any, Final, Literal

from theater_bus.capability import ActorIdentity
from theater_bus.core.chain.bodies import Genesis, Origin
from theater_bus.core.chain.recording import Limits as RecordLimits
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.core.grants import ALL, Effective
from theater_bus.core.manifest import Manifest
from theater_bus.core.manifest.schema import SECTIONS, cuts
from theater_bus.core.values.subtree import Subtree
from theater_bus.core.wire.identity import check_name, generate_id, incarnation
from theater_bus.errors import ActorError, ActorExists, OperationTimeout, ShuttingDown, SpawnRefused
from theater_bus.host.actor import Actor
from theater_bus.host.checkpoint import Checkpoints
from theater_bus.host.equipping import equip
from theater_bus.host.granting import Granted, grant
from theater_bus.host.household import adopt, household_of, make_room
from theater_bus.host.journal import Journal
from theater_bus.host.operation import Operation
from theater_bus.host.outbox import Outbox
from theater_bus.host.package import ActorType, FunctionEntry
from theater_bus.telemetry import ActorAttributes

if TYPE_CHECKING:
    from theater_bus.core.chain.restore import RecoveredActor
    from theater_bus.core.values.codec import Outcome
    from theater_bus.host.host import Host

__all__ = ["NO_STATE", "SpawnRequest", "Spawner"]

NO_STATE: Final = object()


@dataclass(frozen=True, slots=True)
class SpawnRequest:
    """What to spawn. `state` is a plain value for the declared state type, or `NO_STATE` for the manifest's.

    `cgrf` gives it as bytes instead. An id whose chain ended needs `begin`: `fresh` begins again, `continue` goes on
    from its last state. Without `init` the actor starts from its state as it is. `path` are the ids of the actors that
    wait for this spawn.
    """

    manifest: Manifest
    wasm: bytes
    id: str | None = None
    state: Any = NO_STATE
    parent: Actor | None = None
    from_json: bool = False
    begin: Literal["new", "fresh", "continue"] = "new"
    cgrf: bytes | None = None
    init: bool = True
    path: tuple[str, ...] = ()


class FutureAnswer:
    """An `Answer` for code of this process."""

    __slots__ = ("future", "subject")

    def __init__(self) -> None:
        self.subject = ""
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def prepare(self, entry: FunctionEntry, outcome: Outcome) -> None:
        """Nothing to make ready."""

    def send(self, entry: FunctionEntry, outcome: Outcome | None, error: ActorError | None) -> None:
        """Hand the outcome over."""
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        elif outcome is not None:
            self.future.set_result(outcome)


class Spawner:
    """Makes actors for one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._under_way: set[asyncio.Timeout] = set()
        self._fewer = asyncio.Event()

    async def spawn(self, request: SpawnRequest) -> Actor:
        """Start an actor; returns when its lanes are subscribed. Raises `SpawnRefused`, `ActorExists`, or what `init`
        ended with; `ShuttingDown` when `close` came first.
        """
        try:
            async with asyncio.timeout(None) as scope:  # in the caller's task: a child's parent goes on before its end
                self._under_way.add(scope)
                return await self._spawn(request)
        except TimeoutError:
            if scope.expired():
                raise ShuttingDown("this host is ending, and the spawn was taken back") from None
            raise
        finally:
            self._under_way.discard(scope)
            self._fewer.set()

    async def close(self) -> None:
        """Take back the spawns under way; returns when nothing is left of them. The host refuses others by now."""
        for scope in self._under_way:
            if not scope.expired():
                scope.reschedule(self._host.loop.time())
        while self._under_way:
            self._fewer.clear()
            await self._fewer.wait()

    async def _spawn(self, request: SpawnRequest) -> Actor:
        host = self._host
        manifest = request.manifest.cut(host.limits)
        parent = request.parent
        self._check_durability(manifest, parent)
        if parent is not None:
            make_room(parent)
        actor_id = request.id or manifest.id
        actor_id = check_name(actor_id) if actor_id else generate_id(int(time() * 1000), os.urandom(10))
        host.roster.reserve(actor_id)
        try:
            package = await host.catalogue.load(request.wasm)
            await host.roster.check_free(actor_id)
            type_ = host.catalogue.type_of(package, manifest, actor_id)
            passed_on = ALL if parent is None else parent.grants
            granted = grant(type_.capabilities, type_.manifest.capabilities, host.grants, passed_on)
            self._tell_cuts(actor_id, request.manifest, granted)
            past, origin, state = await self._origin(actor_id, request, type_)
            actor = self._make(actor_id, type_, granted.effective, state)
        except BaseException:
            host.roster.release(actor_id)
            raise
        try:
            if parent is not None:
                adopt(parent, actor)
            await self._start(actor, request, granted, origin, past)
        except BaseException as error:
            await host.roster.abandon(actor, error)
            if parent is not None:
                household_of(parent).not_born(actor_id)
            raise
        if parent is not None:
            household_of(parent).born(actor)
        return actor

    def _check_durability(self, manifest: Manifest, parent: Actor | None) -> None:
        durability = manifest.chain.durability
        if parent is not None and manifest.is_durable and not parent.type.manifest.is_durable:
            raise SpawnRefused(
                f'durability = "{durability}" would have the child come back without its parent {parent.identity.id}, '
                'which has durability = "memory". Fix: give the parent the same durability, or the child "memory"',
                durability=durability,
            )
        if durability == "sync":
            raise SpawnRefused(
                'this host does not offer durability = "sync". Fix: use "file" (with serve --data DIR) or "memory"',
                durability=durability,
            )
        if durability == "file" and self._host.archive.files is None:
            raise SpawnRefused(
                'durability = "file" needs a data directory. Fix: start the host with --data DIR', durability=durability
            )

    def _tell_cuts(self, actor_id: str, asked: Manifest, granted: Granted) -> None:
        """Log what the actor gets less of than its manifest asks for, and from whom."""
        host = self._host
        limits = [cut for name in SECTIONS for cut in cuts(getattr(asked, name), host.limits, name)]
        found = [f"{one.setting}: {one.allowed}; the manifest asks for {one.asked}" for one in limits]
        found += [one.text() for one in granted.effective.cuts()]
        if found:
            host.telemetry.event("actor.cut", actor=actor_id, host=host.id, reason="; ".join(found))

    async def _origin(
        self, actor_id: str, request: SpawnRequest, type_: ActorType
    ) -> tuple[RecoveredActor | None, Origin | None, Subtree | None]:
        """What the actor goes on from, and its initial state. Raises `ActorExists` for a chain that is kept."""
        store = self._host.archive.files
        kept = None
        if store is not None and type_.manifest.chain.durability == "file":
            kept = next((tail for tail in store.tails() if tail.actor == actor_id and tail.next_seq), None)
        if store is None or kept is None or (kept.exited and request.begin == "fresh"):
            return None, None, _initial_state(type_, request)
        if not kept.exited or request.begin == "new":
            how = "ended" if kept.exited else "could not be recovered"
            raise ActorExists(
                f"the chain of {actor_id!r} is kept here; it {how}. Fix: choose another id, or for a chain that ended "
                "begin again with --fresh, or go on from its last state with --continue",
                actor=actor_id,
            )
        if request.state is not NO_STATE:
            raise SpawnRefused("an initial state is given, and --continue takes the last one. Fix: leave one out")
        before = await store.recover(actor_id)
        state = None if before.state is None or type_.state_codec is None else type_.state_codec.check(before.state)
        return before, Origin("continue", actor_id, before.incarnation, before.next_seq - 1, before.head), state

    def _make(self, actor_id: str, type_: ActorType, effective: Effective, state: Subtree | None) -> Actor:
        host, manifest = self._host, type_.manifest
        identity = ActorIdentity(actor_id, host.namespace, manifest.name, host.id)
        attributes = ActorAttributes(actor_id, host.namespace, manifest.name, host.id)
        actor = Actor(type_, identity, attributes, host, state, host.loop.time(), effective)
        born = incarnation(int(time() * 1000), os.urandom(10))
        store = host.archive.store_of(actor)
        tail = store.open(actor_id, born)
        writer = ChainWriter(
            actor_id,
            born,
            tail.next_seq,
            tail.head,
            inline_max=manifest.chain.inline_max,
            limits=RecordLimits(manifest.limits.host_calls, manifest.limits.record_bytes),
        )
        actor.journal = Journal(actor_id, writer, store, state, actor.fallen, host.tally)
        tail.sent_through = 0
        if type_.sends:
            actor.outbox = Outbox(actor, tail)
        if manifest.chain.durability != "memory":
            actor.checkpoints = Checkpoints(actor)
        host.archive.bound(actor)
        return actor

    async def _start(
        self,
        actor: Actor,
        request: SpawnRequest,
        granted: Granted,
        origin: Origin | None,
        past: RecoveredActor | None,
    ) -> None:
        host, type_ = self._host, actor.type
        await host.archive.keep_origin(actor, request.wasm)
        body = Genesis(
            actor.identity.id,
            actor.journal.writer.incarnation,
            type_.package.sha256,
            type_.manifest.digest,
            granted.grants.digest,
            None if actor.state is None else actor.state.standalone(),
            host.engine_name,
            type_.package.abi,
            type_.manifest.chain.inline_max,
            None if request.parent is None else request.parent.identity.id,
            origin,
        )
        kept: asyncio.Future[ActorError | None] = host.loop.create_future()
        actor.journal.write(time_ns(), body, actor.state, kept.set_result)
        await equip(host, actor, granted, past)
        if origin is None and request.init:
            await self._init(actor, request.path)
        error = await asyncio.shield(kept)  # a cancelled spawn leaves the journal its future
        if error is not None:
            raise error
        if request.parent is not None and request.parent.phases.is_ending:
            raise request.parent.phases.shutting_down()
        await host.roster.admit(actor)

    async def _init(self, actor: Actor, path: tuple[str, ...]) -> None:
        entry = actor.type.init
        if entry is None:
            return
        limit_s = actor.type.manifest.limits.init_timeout_s
        answer = FutureAnswer()
        now = time_ns()
        try:
            params = entry.codec.encode_params(None)
        except ActorError as error:
            raise SpawnRefused(f"init takes parameters beside the state, which nobody gives it: {error}") from error
        trace = self._host.telemetry.start_operation(entry.spec, None, actor.attributes, now)
        op = Operation(
            actor,
            entry,
            params,
            answer,
            proof="host",
            deadline=self._host.loop.time() + limit_s,
            path=path,
            arrival_ns=now,
            trace=trace,
        )
        actor.start(op)
        try:
            outcome = await answer.future
        except OperationTimeout as error:
            raise OperationTimeout(f"init did not end within {limit_s:g} s", ran="rolled-back") from error
        if not outcome.ok:
            raise SpawnRefused(f"init refused: {outcome.text}", value=outcome.error)


def _initial_state(type_: ActorType, request: SpawnRequest) -> Subtree | None:
    """The state before the first operation: the spawn's, else the manifest's, else none."""
    codec = type_.state_codec
    given = request.state if request.state is not NO_STATE else type_.manifest.initial_state
    is_given = request.state is not NO_STATE or request.cgrf is not None or given is not None
    if codec is None:
        if is_given:
            raise SpawnRefused("an initial state is given, but no function of the package takes a state")
        return None
    try:
        if request.cgrf is not None:
            return codec.check(request.cgrf)
        return codec.encode_json(given) if request.from_json else codec.encode(given)
    except ActorError as error:
        what = "the initial state does not fit" if is_given else "the package needs an initial state"
        fix = "Fix: give one with --state, or initial_state in the manifest"
        raise SpawnRefused(f"{what}: {error.message}. {fix}", **_path(error)) from error


def _path(error: ActorError) -> dict[str, Any]:
    return {key: value for key, value in error.details.items() if key != "ran"}
