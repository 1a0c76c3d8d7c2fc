"""A bucket of the NATS key-value store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass

from nats.errors import Error
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import KeyValueConfig
from nats.js.errors import BadRequestError, KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from theater_bus.bus.connection import Connection
from theater_bus.bus.jetstream import REQUEST_S, JetStream
from theater_bus.bus.lifeline import ConnectionEvent
from theater_bus.errors import ConfigurationError, TooLarge, Unavailable

__all__ = ["Entry", "KeyValueBucket", "check_key"]

KEY_CHARACTERS = 512
LOOK_S = 1.0
"""How often a watcher looks whether its connection was lost."""
CHECK_S = 10.0
"""How often a watcher looks whether its bucket was made anew."""
LIST_S = 30.0
"""How long all keys of a bucket may take to arrive."""
_KEY = re.compile(r"(?![.])[-/_=.a-zA-Z0-9]+(?<![.])")
_PREFIX = re.compile(r"(?![.])[-/_=.a-zA-Z0-9]+")
_PATTERN = re.compile(r"(?![.])[-/_=.a-zA-Z0-9*>]+(?<![.])")
_HEADER_BYTES = 256
"""What JetStream's own headers may add to a value."""
_DELETED = ("DEL", "PURGE")


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision of a key. `value` is None where the key was deleted."""

    key: str
    value: bytes | None
    revision: int


class KeyValueBucket:
    """One bucket, over one connection.

    Every method raises `Unavailable` when there is no JetStream or no such bucket, or when it refuses or does not
    answer, and `ConfigurationError` for what is no key.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._jetstream = JetStream(connection)
        self._kv: KeyValue | None = None
        self._context: object = None

    async def open(self, *, create: bool = False) -> bool:
        """See whether the bucket is there; with `create`, make it, one revision for each key. Whether it was made."""
        async with self._translated("opened in"):
            if not create:
                await self._bucket()
                return False
            try:
                await self._bucket()
            except Unavailable:
                await self._bucket(create=True)
                return True
            return False

    async def get(self, key: str) -> Entry | None:
        """The newest revision; None when there is none, or it was deleted."""
        check_key(key)
        async with self._translated("read from"):
            try:
                found = await (await self._bucket()).get(key)
            except KeyNotFoundError:
                return None
            return Entry(key, found.value or b"", found.revision or 0)

    async def put(self, key: str, value: bytes) -> int:
        """Store a value whatever was there. Returns the revision. Raises `TooLarge`."""
        self._check(key, value)
        async with self._translated("stored in"):
            return await (await self._bucket()).put(key, value)

    async def create(self, key: str, value: bytes) -> int | None:
        """Store a value where there is none; None where there is one. Raises `TooLarge`."""
        self._check(key, value)
        async with self._translated("stored in"):
            try:
                return await (await self._bucket()).create(key, value)
            except KeyWrongLastSequenceError:
                return None

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """Store a value where `revision` is the newest one; None where it is not. Raises `TooLarge`."""
        self._check(key, value)
        async with self._translated("stored in"):
            try:
                return await (await self._bucket()).update(key, value, last=revision)
            except KeyWrongLastSequenceError:
                return None

    async def delete(self, key: str, revision: int | None = None) -> bool:
        """Delete a key, with `revision` only if that is the newest one. False where it is not."""
        check_key(key)
        async with self._translated("deleted from"):
            try:
                return await (await self._bucket()).delete(key, last=revision)
            except BadRequestError as error:
                if error.err_code in (10071, 10164):
                    return False
                raise

    async def keys(
        self, prefix: str = "", *, accept: Callable[[str], bool] | None = None, most: int | None = None
    ) -> list[str]:
        """The keys that begin with `prefix` and that `accept` takes, sorted. Raises `TooLarge` for more than `most`.

        The server sends those that share the whole tokens of the prefix, without their values.
        """
        if prefix and (_PREFIX.fullmatch(prefix) is None or ".." in prefix or len(prefix) > KEY_CHARACTERS):
            return []  # no key begins like that
        tokens = prefix.rpartition(".")[0]
        found: list[str] = []
        async with self._translated("listed in", LIST_S):
            bucket = await self._bucket()
            watcher = await bucket.watch(f"{tokens}.>" if tokens else ">", meta_only=True)
            try:
                async with aclosing(_present(watcher)) as entries:
                    async for entry in entries:
                        if entry.operation in _DELETED or not entry.key.startswith(prefix):
                            continue
                        if accept is not None and not accept(entry.key):
                            continue
                        if most is not None and len(found) >= most:
                            raise TooLarge(f"more than {most} keys of {self.name} begin with {prefix!r}", limit=most)
                        found.append(entry.key)
            finally:
                with suppress(Error, OSError):  # the server ends what nobody listens to by itself
                    await watcher.stop()  # type: ignore[no-untyped-call]
        return sorted(found)

    async def created_us(self) -> int:
        """When the bucket was made, in microseconds of Unix time. One that was made anew under its name has another."""
        async with self._translated("asked about"):
            status = await (await self._bucket()).status()
            created = status.stream_info.created
            return 0 if created is None else round(created.timestamp() * 1_000_000)

    async def watch(self, pattern: str = ">") -> AsyncGenerator[Entry | None, None]:
        """What is there now, then None once, then every change as it comes; ends with its iterator.

        `pattern` is a key with the wildcards of subjects. After the connection was lost it goes on with what changed
        meanwhile, of each key the newest revision. Raises `Unavailable` where the bucket was made anew: its revisions
        begin again.
        """
        if _PATTERN.fullmatch(pattern) is None or len(pattern) > KEY_CHARACTERS:
            raise ConfigurationError("pattern", f"{pattern[:80]!r} is no pattern of keys", "a key with `*` and `>`")
        seen, begun = 0, False
        async with aclosing(self._entries(pattern)) as entries:
            async for entry in entries:
                if entry is None and not begun:
                    begun = True
                    yield None
                elif entry is not None and entry.revision > seen:
                    seen = entry.revision
                    yield entry

    async def _entries(self, pattern: str) -> AsyncGenerator[Entry | None, None]:
        """What is there, None, and every change; all over again whenever the connection came back.

        nats-py's watcher does not notice that the server has forgotten its consumer, or that the bucket is another one.
        """
        again, loop = asyncio.Event(), asyncio.get_running_loop()
        unobserve = self._jetstream.connection.observe(
            lambda event: again.set() if event is ConnectionEvent.RECONNECTED else None
        )
        try:
            made = await self.created_us()
            while True:
                again.clear()
                await self._require(made)
                looked = loop.time()
                async with self._translated("watched in"):
                    watcher = await (await self._bucket()).watch(pattern)
                is_late = is_heard = False
                try:
                    while not again.is_set():
                        if loop.time() - looked >= CHECK_S:
                            await self._require(made)
                            looked = loop.time()
                        try:
                            found = await watcher.updates(timeout=LOOK_S)  # type: ignore[no-untyped-call]
                        except NatsTimeout:
                            continue
                        if found is None and not is_heard and await _is_on_its_way(watcher):
                            is_late = True
                            continue
                        is_heard = True
                        yield None if found is None else _entry(found)
                        if is_late and found is not None and not found.delta:
                            is_late = False
                            yield None
                finally:
                    with suppress(Error, OSError):  # the server ends what nobody listens to by itself
                        await watcher.stop()  # type: ignore[no-untyped-call]
        finally:
            unobserve()

    async def _require(self, made_us: int) -> None:
        if await self.created_us() != made_us:
            raise Unavailable(f"the key-value bucket {self.name} was made anew. Fix: watch it again", bucket=self.name)

    def _check(self, key: str, value: bytes) -> None:
        check_key(key)
        size, limit = len(value) + _HEADER_BYTES, self._jetstream.connection.max_payload
        if size > limit:
            raise TooLarge(
                f"the value of {key} has {len(value)} bytes, the server accepts {limit} with its headers. "
                "Fix: store less under one key, or raise max_payload in the server's configuration",
                size_bytes=size,
                limit_bytes=limit,
            )

    async def _bucket(self, *, create: bool = False) -> KeyValue:
        context = self._jetstream.context("key-value store")
        if self._kv is not None and self._context is context:
            return self._kv
        try:
            found = await context.key_value(self.name)
        except NotFoundError as error:
            if not create:
                raise Unavailable(
                    f"there is no key-value bucket {self.name!r}. Fix: `nats kv add {self.name}`", bucket=self.name
                ) from error
            try:
                found = await context.create_key_value(
                    KeyValueConfig(self.name, description="theater_bus: a capability's own")
                )
            except BadRequestError:
                # Somebody else made it meanwhile.
                found = await context.key_value(self.name)
        self._kv, self._context = found, context
        return found

    def _translated(self, what: str, within_s: float = REQUEST_S) -> AbstractAsyncContextManager[None]:
        return self._jetstream.translated(
            f"{what} the key-value bucket {self.name}",
            "check that JetStream has space, and that this user may use it",
            within_s,
        )


async def _present(watcher: KeyValue.KeyWatcher) -> AsyncGenerator[KeyValue.Entry, None]:
    """What a new watcher finds, deletions too."""
    is_heard = False
    async for entry in watcher:
        if entry is None:
            if is_heard or not await _is_on_its_way(watcher):
                return
        else:
            is_heard = True
            yield entry
            if not entry.delta:
                return


async def _is_on_its_way(watcher: KeyValue.KeyWatcher) -> bool:
    """Whether a watcher that says that there is nothing is wrong: what the server has sent may not have arrived yet."""
    assert watcher._sub is not None
    info = await watcher._sub.consumer_info()
    return info.delivered is not None and bool(info.delivered.consumer_seq)


def _entry(found: KeyValue.Entry) -> Entry:
    deleted = found.operation in _DELETED
    return Entry(found.key, None if deleted else found.value or b"", found.revision or 0)


def check_key(key: str) -> str:
    """`key`, if it is one. Raises `ConfigurationError`."""
    if len(key) > KEY_CHARACTERS or _KEY.fullmatch(key) is None or ".." in key:
        raise ConfigurationError(
            "key",
            f"{key[:80]!r} is no key",
            f"use 1 to {KEY_CHARACTERS} of A-Z a-z 0-9 _ - / = . without a dot at either end or two in a row",
        )
    return key
