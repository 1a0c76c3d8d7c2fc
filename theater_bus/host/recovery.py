"""Bring back what a data directory holds: every `file` actor whose incarnation has not ended."""

from __future__ import annotations

import asyncio
from time import time_ns
from typing import TYPE_CHECKING

from theater_bus.capability import ActorIdentity
from theater_bus.core.chain.control import Recovered
from theater_bus.core.chain.events import unpack
from theater_bus.core.chain.recording import Limits as RecordLimits
from theater_bus.core.chain.restore import RecoveredActor
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.core.grants import Grants
from theater_bus.core.idempotency import KeyRecord, Window
from theater_bus.core.manifest import Manifest, from_mapping
from theater_bus.core.outbox import Receipts
from theater_bus.core.values.cgrf import parse
from theater_bus.errors import ActorError, ChainTampered, SpawnRefused, TheaterError, Unavailable
from theater_bus.host.actor import Actor
from theater_bus.host.checkpoint import Checkpoints
from theater_bus.host.equipping import equip
from theater_bus.host.granting import grant
from theater_bus.host.household import complete, rejoin
from theater_bus.host.journal import Journal
from theater_bus.host.outbox import Outbox, Send
from theater_bus.telemetry import ActorAttributes

if TYPE_CHECKING:
    from theater_bus.host.chain import FileStore
    from theater_bus.host.host import Host

__all__ = ["recover_all"]


async def recover_all(host: Host, store: FileStore) -> None:
    """Recover the actors of `store` one after another; one that cannot come back is named and hinders no other.

    Children find their parents again, whichever came back first.
    """
    families = _Families(host)
    for cut in store.cuts:
        reason = f"{cut.size_bytes} bytes at {cut.offset}"
        host.telemetry.event("chain.cut", host=host.id, path=cut.file, reason=reason)
    for tail in list(store.tails()):
        if tail.exited:
            continue
        try:
            recovered = await store.recover(tail.actor)
            if recovered.exited is None:
                await _recover(host, store, recovered, families)
        except TheaterError as error:
            if isinstance(error, ChainTampered):
                host.telemetry.event("chain.corrupt", actor=tail.actor, host=host.id, reason=error.reason)
            host.telemetry.event("actor.unrecoverable", actor=tail.actor, host=host.id, reason=str(error))
    families.settle()


class _Families:
    """Recovered children and their parents."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._came: list[Actor] = []
        self._waiting: dict[str, list[Actor]] = {}

    def place(self, actor: Actor, parent_id: str | None) -> None:
        """`actor` is about to answer: give it its parent, and it to its children, as far as they are back."""
        self._came.append(actor)
        for child in self._waiting.pop(actor.identity.id, ()):
            rejoin(actor, child)
        if parent_id is None:
            return
        parent = self._host.actors.get(parent_id)
        if parent is None:
            self._waiting.setdefault(parent_id, []).append(actor)
        else:
            rejoin(parent, actor)

    def settle(self) -> None:
        """All are back that come back."""
        for parent_id, children in self._waiting.items():
            for child in children:
                self._host.telemetry.event(
                    "actor.orphaned",
                    actor=child.identity.id,
                    host=self._host.id,
                    reason=f"no parent {parent_id}",
                )
        for actor in self._came:
            complete(actor)


async def _recover(host: Host, store: FileStore, found: RecoveredActor, families: _Families) -> None:
    genesis = found.genesis or await store.genesis(found.actor)
    wasm = await _object(store, found.package, "package")
    manifest = _manifest(await _object(store, found.manifest, "manifest"))
    package = await host.catalogue.load(wasm)
    type_ = host.catalogue.type_of(package, manifest.cut(host.limits), found.actor)
    recorded = Grants.from_plain(unpack(await _object(store, found.grants, "grants")))
    granted = grant(type_.capabilities, type_.manifest.capabilities, host.grants, recorded, True)
    host.roster.reserve(found.actor)
    identity = ActorIdentity(found.actor, host.namespace, manifest.name, host.id)
    attributes = ActorAttributes(found.actor, host.namespace, manifest.name, host.id)
    state = None if found.state is None else parse(found.state)
    actor = Actor(type_, identity, attributes, host, state, host.loop.time(), granted.effective)
    tail = store.open(found.actor, found.incarnation)
    writer = ChainWriter(
        found.actor,
        found.incarnation,
        found.next_seq,
        found.head,
        state=found.state,
        next_outbox=found.next_outbox,
        inline_max=found.inline_max,
        limits=RecordLimits(type_.manifest.limits.host_calls, type_.manifest.limits.record_bytes),
    )
    actor.journal = Journal(found.actor, writer, store, state, actor.fallen, host.tally)
    actor.checkpoints = Checkpoints(actor)
    actor.receipts = Receipts(found.received)
    if type_.sends or found.unsent:
        actor.outbox = Outbox(actor, tail)
    _restore_window(host, actor, found)
    try:
        await host.archive.keep_origin(actor, wasm)  # limits and grants may be others than those recorded
        decided: asyncio.Future[ActorError | None] = host.loop.create_future()
        actor.journal.write(time_ns(), Recovered(tail.epoch, host.id), state, decided.set_result)
        error = await decided
        if error is not None:
            raise error
        await equip(host, actor, granted, found)
        families.place(actor, genesis.parent_actor)
        await _resend(actor, store, found)
        await host.roster.admit(actor, paused=found.phase == "paused")
    except BaseException as error:
        await host.roster.withdraw(actor, error)
        raise
    host.telemetry.event("actor.recovered", actor=found.actor, host=host.id)


async def _resend(actor: Actor, store: FileStore, found: RecoveredActor) -> None:
    """Send again what was queued and is not known to have arrived; its receivers know repeats by their numbers."""
    if actor.outbox is None:
        return
    sends: list[Send] = []
    for unsent in found.unsent:
        payload = unsent.input
        data = payload if isinstance(payload, bytes) else await store.payload(payload.digest)
        try:
            if data is None:
                raise Unavailable("its input is not in the data directory's objects")
            delivery = actor.calls.delivery_of(unsent.interface, unsent.function, data)
        except ActorError as error:
            actor.outbox.give_up(unsent, unsent.interface, error)
            continue
        key, place = unsent.effect_key.hex(), (unsent.interface, unsent.function)
        sends.append(Send(*place, data, key, unsent.time_ns, delivery, None, unsent.number))
    actor.outbox.restore(sends)


def _restore_window(host: Host, actor: Actor, found: RecoveredActor) -> None:
    if not found.window:
        return
    window = actor.window = Window(host.shared.window_bounds)
    window.restore(
        [KeyRecord(e.scope, e.key, e.request, e.answer, e.seq, e.is_error) for e in found.window],
        host.loop.time(),
    )


async def _object(store: FileStore, digest: bytes, what: str) -> bytes:
    data = await store.payload(digest)
    if data is None:
        raise SpawnRefused(f"its {what} (SHA-256 {digest.hex()}) is not in the data directory's objects")
    return data


def _manifest(data: bytes) -> Manifest:
    return from_mapping(unpack(data), "the recorded manifest")
