"""`theater:bus/kv`: get, put, create, update, delete, keys, watch.

Invariants: a bucket, a key or a pattern that the grants leave out is never asked for; watches change with the operation
that changes them, and come back with `file` actors, from the revision that they had handled.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from theater_bus.capability import NUMBER, STRINGS, SUBJECTS, Capability, CapabilityError, Context, KeyValue, refusals
from theater_bus.capability import Settings as BaseSettings
from theater_bus.errors import TooLarge
from theater_bus_kv.watching import HANDLE, Bounds, Watch, Watching, shown

__all__ = ["Kv"]

NAME_BYTES = 256


class Kv(Capability):
    """Key-value buckets of NATS, within the grants `buckets`, `read` and `write`."""

    name = "kv"
    pact = "kv.pact"

    class Settings(BaseSettings):
        """`[capabilities.kv]`. Nothing is allowed without `buckets`, and nothing can be changed without `write`."""

        buckets: Annotated[tuple[str, ...], STRINGS] = ()
        read: Annotated[tuple[str, ...], SUBJECTS] = (">",)
        write: Annotated[tuple[str, ...], SUBJECTS] = ()
        value_bytes: Annotated[int, NUMBER, Field(ge=0)] = 1024 * 1024
        keys: Annotated[int, NUMBER, Field(ge=0, le=1_000_000)] = 10_000
        watches: Annotated[int, NUMBER, Field(ge=0, le=1024)] = 16
        waiting: Annotated[int, NUMBER, Field(ge=1, le=64)] = 16
        pending: Annotated[int, NUMBER, Field(ge=1, le=1_000_000)] = 1024
        pending_bytes: Annotated[int, NUMBER, Field(ge=1, le=1 << 30)] = 16 * 1024 * 1024

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._bounds = Bounds(settings.waiting, settings.pending, settings.pending_bytes)
        self._buckets: dict[str, KeyValue] = {}
        self._watches: dict[str, Watching] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._restored: list[Watch] = []

    # -- keys and values -----------------------------------------------------------------------------------------------

    async def get(self, bucket: str, key: str) -> dict[str, Any] | None:
        """The newest revision of a key."""
        self._check("read", key)
        with refusals():
            found = await (await self._bucket(bucket)).get(key)
        return None if found is None else shown(bucket, found)

    async def put(self, bucket: str, key: str, value: bytes) -> int:
        """Store a value, whatever was there."""
        self._check_value(key, value)
        with refusals():
            return await (await self._bucket(bucket)).put(key, value)

    async def create(self, bucket: str, key: str, value: bytes) -> int | None:
        """Store a value where there is none."""
        self._check_value(key, value)
        with refusals():
            return await (await self._bucket(bucket)).create(key, value)

    async def update(self, bucket: str, key: str, value: bytes, revision: int) -> int | None:
        """Store a value over this revision."""
        self._check_value(key, value)
        if revision == 0:
            raise CapabilityError("no revision has the number 0. Fix: `create` for a key that is not there")
        with refusals():
            return await (await self._bucket(bucket)).update(key, value, revision)

    async def delete(self, bucket: str, key: str, revision: int | None) -> bool:
        """Delete a key."""
        self._check("write", key)
        if revision == 0:
            raise CapabilityError("no revision has the number 0. Fix: leave it out to delete whatever is there")
        with refusals():
            return await (await self._bucket(bucket)).delete(key, revision)

    async def keys(self, bucket: str, prefix: str) -> list[str]:
        """The keys that begin with this prefix, those that may be read."""
        most, read = self.settings.keys, SUBJECTS.read(self.settings.read)
        with refusals():
            found = await self._bucket(bucket)
            try:
                return await found.keys(prefix, accept=read.allows, most=most)
            except TooLarge as error:
                raise CapabilityError(
                    f"more keys of {bucket} begin with {prefix!r:.200} than the grant kv.keys = {most} allows. Fix: "
                    f"ask for a longer prefix, or `keys = {2 * most or 1}` in [capabilities.kv]"
                ) from error

    # -- watching ------------------------------------------------------------------------------------------------------

    async def watch(self, name: str, bucket: str, pattern: str) -> None:
        """Have what is there now delivered, and every change from then on."""
        self._check_watch(name, pattern)
        with refusals():
            await self._bucket(bucket)
        watching = self._watches[name] = self._watching(Watch(name, bucket, pattern))
        self.context.on_operation_end(partial(self._was_added, name, watching))
        self.context.snapshot_changed()

    def unwatch(self, name: str) -> None:
        """End a watch."""
        watching = self._watches.pop(name, None)
        if watching is None:
            raise CapabilityError(f"nothing is watched under the name {name!r:.80}")
        self.context.on_operation_end(partial(self._was_removed, name, watching))
        self.context.snapshot_changed()

    def list_watches(self) -> list[tuple[str, str]]:
        """What is watched, in the order of names."""
        return sorted((name, f"{one.watch.bucket}/{one.watch.pattern}") for name, one in self._watches.items())

    def _was_added(self, name: str, watching: Watching, took_effect: bool) -> None:
        if took_effect:
            watching.start()
        elif self._watches.get(name) is watching:
            del self._watches[name]

    def _was_removed(self, name: str, watching: Watching, took_effect: bool) -> None:
        if not took_effect:
            self._watches.setdefault(name, watching)
            return
        self._ending.add(task := asyncio.create_task(watching.stop(), name=f"kv leaves {name}"))
        task.add_done_callback(self._ending.discard)

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Watch again what was restored."""
        for watch in self._restored[: self.settings.watches]:
            watching = self._watches[watch.name] = self._watching(watch)
            watching.start()
        lost = len(self._restored) - len(self._watches)
        if lost:
            self.context.report_failure(
                f"{lost} of {len(self._restored)} watches did not come back: the grant kv.watches is "
                f"{self.settings.watches} now"
            )

    async def stop(self) -> None:
        """Watch no more."""
        await asyncio.gather(*self._ending, *(one.stop() for one in self._watches.values()))

    def snapshot(self) -> bytes | None:
        """What is watched, and how far each watch has come."""
        kept = [one.watch.plain() for one in self._watches.values()]
        return json.dumps(kept, separators=(",", ":")).encode() if kept else None

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave. Raises `ValueError` for anything else."""
        try:
            self._restored = [Watch(**one) for one in json.loads(snapshot)]
        except TypeError as error:
            raise ValueError(f"this is no snapshot of watches: {error}") from error

    # -- grants --------------------------------------------------------------------------------------------------------

    async def _bucket(self, name: str) -> KeyValue:
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = await self.context.bus.kv(name)
        return found

    def _watching(self, watch: Watch) -> Watching:
        return Watching(self.context, watch, self._bounds, partial(self._allows, "read"))

    def _allows(self, setting: str, key: str) -> bool:
        return SUBJECTS.read(getattr(self.settings, setting)).allows(key)

    def _check(self, setting: str, key: str) -> None:
        if not self._allows(setting, key):
            raise CapabilityError(
                f"the grant kv.{setting} does not allow the key {key[:120]!r}. "
                f'Fix: `{setting} = ["{key[:120]}"]` in [capabilities.kv], and in the host\'s grants'
            )

    def _check_value(self, key: str, value: bytes) -> None:
        self._check("write", key)
        if len(value) > self.settings.value_bytes:
            raise CapabilityError(
                f"the value has {len(value)} bytes, more than the grant kv.value_bytes = {self.settings.value_bytes}. "
                f"Fix: store less, or `value_bytes = {len(value)}` in [capabilities.kv]"
            )

    def _check_watch(self, name: str, pattern: str) -> None:
        most = self.settings.watches
        if not name or len(name.encode()) > NAME_BYTES:
            raise CapabilityError(f"a watch's name has 1 to {NAME_BYTES} bytes, this one has {len(name.encode())}")
        if name in self._watches:
            raise CapabilityError(f"there is a watch {name!r} already. Fix: choose another name, or end it first")
        if len(self._watches) >= most:
            raise CapabilityError(
                f"the grant kv.watches = {most} is used up. Fix: end one, or `watches = {most + 1}` in "
                "[capabilities.kv]"
            )
        if not self.context.has_export(HANDLE):
            raise CapabilityError(
                f"the actor has no {HANDLE}. Fix: export `{HANDLE}: func(state: S, watch: string, entry: entry) -> "
                "result<tuple<S>, string>`"
            )
        self._check("read", pattern)
