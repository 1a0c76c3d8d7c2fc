"""Call a capability's functions without a guest: values cross the same conversions as they do in a host.

    async with capability_harness(Clock, {"zone": "UTC"}) as clock:
        assert await clock.call("now") > 0
        assert clock.context.guest_lines == []

The class is held against its pact first, so a harness that opens is also a plugin that loads. What the capability asks
of its host is kept in `clock.context`: a `HarnessContext`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from theater_bus.capability import ActorIdentity, Capability, CapabilityBus, CapabilityError, Secret, TimeSource
from theater_bus.capability.clock import SystemTime
from theater_bus.core.grants import ALL, FLAG, SECRETS, STRINGS, Grant, Grants
from theater_bus.core.mailbox import Bounds
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.exact import exact_value, plain_value
from theater_bus.core.values.types import TupleOf, Type, Unit
from theater_bus.core.wire.digest import effect_key
from theater_bus.errors import ActorError, ActorNotFound, Cancelled, ConfigurationError, Overloaded
from theater_bus.host.configuration import ActorConfiguration, HostConfiguration
from theater_bus.host.granting import grant
from theater_bus.plugins import CapabilityType, HostFunction, compile_capability
from theater_bus.telemetry import Telemetry
from theater_bus.testing.children import HarnessChildren

__all__ = ["CapabilityHarness", "HarnessContext", "HarnessLogger", "HarnessMeter", "capability_harness"]


class NeedsHost(LookupError):
    """The capability asked for what only a host has."""


CallActor = Callable[[str, str, list[Any]], Awaitable[Any]]
_End = tuple[tuple[str, list[Any]], Callable[[ActorError | None], None] | None, Callable[[Any], None] | None]


@dataclass(frozen=True, slots=True)
class _Call:
    """The host call in progress."""

    index: int
    deadline: float
    effect_key: str
    ends: list[Callable[[bool], None]] = field(default_factory=list)


_CALL: ContextVar[_Call | None] = ContextVar("theater_bus_harness_call", default=None)


class HarnessLogger:
    """A logger that keeps what it is given: `records` are (level, event, fields)."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, event: str, **fields: object) -> None:
        """Keep a record."""
        self.records.append(("debug", event, fields))

    def info(self, event: str, **fields: object) -> None:
        """Keep a record."""
        self.records.append(("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """Keep a record."""
        self.records.append(("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """Keep a record."""
        self.records.append(("error", event, fields))


class HarnessMeter:
    """An `Instrumentation` that keeps what it is given: (name, amount or value, attributes), and (name, fields)."""

    def __init__(self) -> None:
        self.counts: list[tuple[str, int, dict[str, str]]] = []
        self.values: list[tuple[str, float, dict[str, str]]] = []
        self.events: list[tuple[str, dict[str, object]]] = []

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        """Keep it."""
        self.counts.append((name, amount, attributes))

    def record(self, name: str, value: float, **attributes: str) -> None:
        """Keep it."""
        self.values.append((name, value, attributes))

    def event(self, name: str, **fields: object) -> None:
        """Keep it."""
        self.events.append((name, fields))


class HarnessContext:
    """A `Context` that keeps what a capability asks of its host, for a test to look at.

    `guest_lines`, `enqueued` as (function, params), `queued` as (actor, function, params), `replies` as (inbox, body,
    headers), `failures`, `shutdowns` (the results), `log.records` and what
    `meter` keeps fill up; `events` is what `chain()` gives; `actors` answers `call_actor`: a function of (actor,
    function, params); `exports` are those of the actor; `children` is a `HarnessChildren`. `tracer` records nothing.
    """

    def __init__(
        self,
        actor: ActorIdentity,
        grants: Mapping[str, Any],
        data_dir: Path | None = None,
        configuration: ActorConfiguration | None = None,
        clock: TimeSource | None = None,
    ) -> None:
        self.actor = actor
        self.grants = grants
        self.data_dir = data_dir
        self.configuration = configuration or ActorConfiguration(HostConfiguration(), Grants(), "")
        self.clock: TimeSource = clock or SystemTime()
        self.log = HarnessLogger()
        self.meter = HarnessMeter()
        self.tracer: Any = Telemetry.silent().tracer("harness")
        self.guest_lines: list[str] = []
        self.enqueued: list[tuple[str, list[Any]]] = []
        self.queued: list[tuple[str, str, list[Any]]] = []
        self.exports_by_actor: dict[str, dict[str, bytes]] = {}
        self.imports: dict[str, dict[str, bytes]] = {}
        self.will_return = False
        self.replies: list[tuple[str, bytes, dict[str, str]]] = []
        self.failures: list[str] = []
        self.shutdowns: list[bytes | None] = []
        self.events: list[dict[str, Any]] = []
        self.actors: CallActor = _nobody
        self.exports: set[str] | None = None
        self.children = HarnessChildren()
        self.snapshots = 0
        self.parts: list[Any] = []
        self.takes_parts = True
        self.asked: list[str] = []
        self.approve: Callable[[str], Awaitable[bool]] = _everything
        self.given_bus: CapabilityBus | None = None
        self.capabilities: dict[str, Any] = {}
        self._ends: list[_End] = []

    async def secret(self, handle: str, destination: str) -> Secret:
        """The value behind a guest's handle, as a host with the harness's `config` and `allowed` gives it."""
        return await self.configuration.secret(handle, destination)

    def capability(self, name: str) -> Any:
        """What the test put into `capabilities`."""
        return self.capabilities.get(name)

    @property
    def bus(self) -> CapabilityBus:
        """A harness has no NATS. Raises `NeedsHost`: test what needs it with `running_host`, or set `given_bus`."""
        if self.given_bus is None:
            raise NeedsHost("a harness has no NATS. Fix: test it with running_host, or set context.given_bus")
        return self.given_bus

    @property
    def deadline(self) -> float:
        """When the current call ends, in seconds of the event loop's clock."""
        return _current().deadline

    @property
    def call_id(self) -> int:
        """The number of this call, from 0: a harness is one long operation."""
        return _current().index

    @property
    def effect_key(self) -> str:
        """The key by which the outside can deduplicate this call."""
        return _current().effect_key

    def guest_log(self, text: str) -> None:
        """Keep a line."""
        self.guest_lines.append(text)

    async def chain(self) -> list[dict[str, Any]]:
        """What the test put into `events`."""
        return list(self.events)

    async def approval(self, what: str) -> None:
        """Keep what was asked in `asked`, and ask `approve`. Raises `CapabilityError` unless it says yes."""
        self.asked.append(what)
        if not await self.approve(what):
            raise CapabilityError("an operator refused the call")

    def emit_part(self, value: Any) -> bool:
        """Keep the part in `parts`; `takes_parts` says whether the caller wants them."""
        if self.takes_parts:
            self.parts.append(value)
        return self.takes_parts

    def request_shutdown(self, result: bytes | None = None) -> None:
        """Keep the request."""
        self.shutdowns.append(result)

    def has_export(self, function: str) -> bool:
        """Whether `exports` names it; None there stands for all functions."""
        return self.exports is None or function in self.exports

    def enqueue(
        self,
        function: str,
        params: list[Any] | None = None,
        then: Callable[[ActorError | None], None] | None = None,
        *,
        answered: Callable[[Any], None] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Callable[[], bool]:
        """Keep the call; `finish` ends it. Raises `Overloaded` at the bound of a host."""
        bound = Bounds().enqueues
        if len(self.enqueued) >= bound:
            raise Overloaded(f"{bound} calls of the capability wait already", bound="enqueues")
        call = (function, list(params or ()))
        self.enqueued.append(call)
        self._ends.append((call, then, answered))

        def take_back() -> bool:
            at = next((n for n, (one, *_) in enumerate(self._ends) if one is call), None)
            if at is None:
                return False
            self._finish(at, Cancelled("taken back"))
            return True

        return take_back

    def finish(self, error: ActorError | None = None, answer: Any = None) -> None:
        """End the oldest call that `enqueued` holds, as the actor would, with an error or an answer; take it out."""
        self._finish(0, error, answer)

    def on_operation_end(self, then: Callable[[bool], None], *, kept: bool = False) -> None:
        """Have `then` called when the current call is over: each one is an operation, which a raised error undoes."""
        _current().ends.insert(0, then)

    def snapshot_changed(self) -> None:
        """Count it in `snapshots`."""
        self.snapshots += 1

    def _finish(self, at: int, error: ActorError | None, answer: Any = None) -> None:
        call, then, answered = self._ends.pop(at)
        self.enqueued = [one for one in self.enqueued if one is not call]
        if error is None and answered is not None:
            answered(answer)
        if then is not None:
            then(error)

    async def call_actor(
        self, actor: str, function: str, params: list[Any] | None = None, *, timeout_ms: int | None = None
    ) -> Any:
        """Ask `actors`. Raises what it raises."""
        return await self.actors(actor, function, list(params or ()))

    async def call_exact(self, actor: str, function: str, params: bytes, *, timeout_ms: int | None = None) -> bytes:
        """Ask `actors`, which gets plain values and gives one. Raises what it raises."""
        given = plain_value(params)
        return exact_value(await self.actors(actor, function, list(given) if isinstance(given, list) else []))

    async def exports_of(self, actor: str) -> dict[str, bytes]:
        """What the test put into `exports_by_actor`. Raises `ActorNotFound` for others."""
        if actor not in self.exports_by_actor:
            raise ActorNotFound(f"the harness knows no actor {actor!r}", actor=actor)
        return self.exports_by_actor[actor]

    def imported(self, interface: str) -> dict[str, bytes]:
        """What the test put into `imports`."""
        return self.imports.get(interface, {})

    async def call_peer(self, actor: str, function: str, params: list[Any] | None = None, *, timeout_ms: int) -> Any:
        """Ask `actors`. Raises what it raises."""
        return await self.actors(actor, function, list(params or ()))

    def is_inbox(self, subject: str) -> bool:
        """Whether it begins with `_INBOX.`."""
        return subject.startswith("_INBOX.")

    async def reply_to(self, inbox: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Keep the message in `replies`."""
        self.replies.append((inbox, body, dict(headers or {})))

    def queue_call(self, actor: str, function: str, params: list[Any] | None = None) -> None:
        """Keep the call in `queued`."""
        self.queued.append((actor, function, list(params or ())))

    def queue_reply(self, inbox: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Keep the message in `replies`."""
        self.replies.append((inbox, body, dict(headers or {})))

    def report_failure(self, why: str) -> None:
        """Keep the failure."""
        self.failures.append(why)


class CapabilityHarness:
    """A started capability, ready to be called. Made by `capability_harness`.

    `instance` is the capability, `context` what it was given, `type` its pact and functions.
    """

    def __init__(self, type_: CapabilityType, instance: Capability, context: HarnessContext) -> None:
        self.type = type_
        self.instance = instance
        self.context = context
        self._calls = 0

    async def call(
        self, function: str, *args: Any, interface: str | None = None, timeout_s: float = 5.0, **named: Any
    ) -> Any:
        """Call a function by its pact name with plain values, and return the plain result.

        Parameters may be named, with `-` written as `_`. Raises `CapabilityError` with the value of an `err`, whatever
        else the method raises, `TypeMismatch` for values that the pact does not allow, `TimeoutError`.
        """
        found = self._function(function, interface)
        data = encode_arguments(found, args, named)
        index, self._calls = self._calls, self._calls + 1
        key = effect_key(self.context.actor.id, bytes(16), bytes(16), index, found.interface, function, data)
        current = _Call(index, asyncio.get_running_loop().time() + timeout_s, key)
        token, worked = _CALL.set(current), False
        try:
            answer = found.bind(self.instance, _on_a_thread)(data)
            if not isinstance(answer, bytes):
                async with asyncio.timeout(timeout_s):
                    answer = await answer
            worked = True
        finally:
            _CALL.reset(token)
            for then in current.ends:
                then(worked)
        return decode_answer(found, answer)

    def _function(self, name: str, interface: str | None) -> HostFunction:
        found = [f for (i, n), f in self.type.functions.items() if n == name and interface in (None, i)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"{i}.{n}" for i, n in self.type.functions)
        problem = "is in several interfaces" if found else "is not in the pact"
        raise ConfigurationError("function", f"{name!r} {problem}", f"one of: {known}; or pass interface=")


@asynccontextmanager
async def capability_harness(
    cls: type[Capability],
    settings: Mapping[str, Any] | None = None,
    *,
    actor: str = "an-actor",
    snapshot: bytes | None = None,
    data_dir: Path | None = None,
    config: Mapping[str, Any] | None = None,
    allowed: Mapping[str, Any] | None = None,
    clock: TimeSource | None = None,
) -> AsyncIterator[CapabilityHarness]:
    """A capability made as a host makes it: checked against its pact, given its settings, started, and stopped at the
    end. `snapshot` is restored before the start; `data_dir` is the context's. `config` is what
    `HostSettings.config` holds, and `allowed` the grant `config` that the actor has beside the capability:
    `{"secrets": ["api-key@127.0.0.1"]}`. `clock` is the time that the capability sees.

    Raises `PluginError` where class and pact do not agree, `SpawnRefused` for wrong settings.
    """
    type_ = await asyncio.to_thread(compile_capability, "the capability under test", cls)
    granted = grant([type_], {type_.name: settings or {}}, ALL, ALL)
    configuration = HostConfiguration.read(config, {type_.name: type_})
    given = granted.grants
    if allowed is not None:
        beside = Grant.read(allowed, {"values": STRINGS, "secrets": SECRETS, "reveal": FLAG})
        given = Grants({**given.capabilities, "config": beside})
    context = HarnessContext(
        ActorIdentity(actor, "default", actor, "harness"),
        granted.plain(type_.name),
        data_dir,
        ActorConfiguration(configuration, given, type_.name),
        clock,
    )
    instance = cls(context, granted.settings[type_.name])
    if snapshot is not None:
        instance.restore(snapshot)
    await instance.start()
    try:
        yield CapabilityHarness(type_, instance, context)
    finally:
        await instance.stop()


def encode_arguments(function: HostFunction, args: tuple[Any, ...], named: Mapping[str, Any]) -> bytes:
    """What a guest would pass: nothing as the empty tuple, one parameter bare, more as a tuple."""
    params = function.declaration.params
    values = list(args)
    names = [param.name.replace("-", "_") for param in params]
    rest = dict(named)
    values += [rest.pop(name) for name in names[len(values) :] if name in rest]
    if rest or len(values) != len(params):
        wanted, given = ", ".join(names) or "nothing", ", ".join([*map(repr, args), *named])
        raise TypeError(f"{function.name} takes {wanted}, and got {given or 'nothing'}")
    types = tuple(param.type for param in params)
    type_, value = (types[0], values[0]) if len(types) == 1 else (TupleOf(types), values)
    return value_codec(type_).encode(value).standalone()


def decode_answer(function: HostFunction, answer: bytes) -> Any:
    """The plain value of what a host function answered. Raises `CapabilityError` for the `err` of a result."""
    declared: Type = function.declaration.result or Unit()
    codec = value_codec(declared)
    value = codec.decode(codec.check(answer))
    if not function.fallible:
        return value
    assert isinstance(value, dict)
    if "err" in value:
        raise CapabilityError(value["err"])
    return value["ok"]


def _on_a_thread(function: Callable[[], Any]) -> Coroutine[Any, Any, Any]:
    return asyncio.to_thread(function)


def _current() -> _Call:
    call = _CALL.get()
    if call is None:
        raise LookupError("there is no current operation: this code does not run within a host call")
    return call


async def _everything(_what: str) -> bool:
    return True


async def _nobody(actor: str, function: str, params: list[Any]) -> Any:
    raise ActorNotFound(f"the harness knows no actor {actor!r}. Fix: set context.actors", actor=actor)
