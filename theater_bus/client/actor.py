"""The handle of one actor: calls, queries and control, each with a timeout of its own that covers queueing.

Making a handle costs nothing and asks nobody. What an actor answers with an error comes out as the class that went in
at its host, with `.actor` and `.ran`.
Source: wire protocol, "Requests and replies", "Keys" and "Errors".
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from hashlib import sha256
from os import urandom
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from theater_bus.client.chain import ChainView
from theater_bus.client.http import HTTP_FUNCTION, PART_BYTES, UPLOAD_FUNCTION, WasiHttpResponse
from theater_bus.client.inspection import Inspection
from theater_bus.client.large_state import fetch_state
from theater_bus.client.results import ActorMetrics, ActorStatus, InterfaceHash, parsed
from theater_bus.client.session import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, Session, check_timeout
from theater_bus.client.streaming import CallStream
from theater_bus.client.sugar import Calls, bind
from theater_bus.core.wire.request import ReplyMode, encode_request, is_key
from theater_bus.core.wire.response import Reply, decode_reply
from theater_bus.errors import (
    ActorError,
    ActorNotFound,
    Cancelled,
    ChannelClosed,
    ConfigurationError,
    ConnectionLost,
    SerializationError,
)

if TYPE_CHECKING:
    from theater_bus.bus import Message
    from theater_bus.telemetry import FunctionSpec

__all__ = ["ActorHandle", "Params"]

P = TypeVar("P")

Params = Sequence[Any] | Mapping[str, Any]
"""Parameters of a call: by position, or by declared name; plain values."""

REPLY_GRACE_S = 0.25
"""The host answers at the deadline and says what became of the operation; so much longer we wait to hear it."""
SHORTEST_S = 0.001
"""What is left of a timeout that has passed between two messages: the next one ends with it."""
_PLAIN_PARAMS = frozenset({list, tuple, dict, type(None)})


class ActorHandle:
    """One actor, by its id. Get it from `Theater.actor` or `Theater.spawn`; keep it as long as you like.

    Every method raises `ActorNotFound` when there is no such actor, `ChannelClosed` when it cannot be reached just now,
    `OperationTimeout` when `timeout` seconds have passed, `PermissionDenied` when NATS or the host refuse. Giving up a
    call (cancelling the task that awaits it) does not cancel the operation; `cancel` with its key does.
    """

    __slots__ = ("_is_memory", "_routes", "_session", "call", "id", "inspect")

    def __init__(self, session: Session, actor_id: str, *, is_memory: bool = False) -> None:
        self.id = actor_id
        """The actor's id."""
        self.inspect = Inspection(session, actor_id)
        """More questions: `exports`, `manifest`, `operation`."""
        self.call = Calls(self)
        """Functions as methods: `await handle.call.increment(5)`; `handle.call(timeout=2).increment(5)`."""
        self._session = session
        self._is_memory = is_memory
        self._routes: dict[str, tuple[str, FunctionSpec]] = {}
        session.subjects.ops_prefix(actor_id)

    def __repr__(self) -> str:
        return f"ActorHandle({self.id!r}, namespace={self._session.subjects.namespace!r})"

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def call_function(
        self,
        name: str,
        params: Params | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        key: str | None = None,
        keyed: bool | None = None,
        raw: bool = False,
    ) -> Any:
        """Call an exported function and return its result as a plain value (`raw`: as CGRF bytes). HOT.

        `name` is `function` or `interface.function`; `params` are plain values by position or by name. A call carries
        an idempotency key, `key` or a generated one, and is sent again under it while nothing is heard; without one
        (`keyed=False`, or when the actor is known to keep its state in memory only) it is sent once.

        Raises what the actor's error table says, among it `GuestError` (the function returned `err`),
        `FunctionNotFound`, `TypeMismatch`, `Overloaded`, `Internal` (the guest trapped), `OutcomeUnknown`.
        """
        reply = await self._call(name, params, None, "cgrf" if raw else "value", timeout, key, keyed)
        return reply.value

    def stream_function(
        self,
        name: str,
        params: Params | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        key: str | None = None,
        keyed: bool | None = None,
    ) -> CallStream:
        """Call an exported function and hear of its progress: `async with` it, iterate over the parts, then `result()`.

            async with handle.stream_function("ask", ["why?"]) as stream:
                async for part in stream:
                    print(part)
                answer = await stream.result()

        Parts are plain values, and provisional; the result is what `call_function` returns. Leaving early does not
        cancel the operation. Raises, from iteration and from `result`, what `call_function` raises.
        """

        def call(is_part: Callable[[Message], bool]) -> Coroutine[Any, Any, Reply]:
            return self._call(name, params, None, "value", timeout, key, keyed, is_part)

        return CallStream(call)

    async def handle_wasi_http_request(
        self,
        method: str,
        scheme: str | None = None,
        authority: str | None = None,
        path_with_query: str | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        body: bytes = b"",
        *,
        trailers: Iterable[tuple[str, bytes]] | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        key: str | None = None,
        keyed: bool | None = None,
    ) -> WasiHttpResponse:
        """Have a component that exports `wasi:http/incoming-handler` serve a request: one operation like any other.

        `headers` are (name, bytes) pairs in order. Long bodies travel in parts, both ways. Raises what `call_function`
        raises, `FunctionNotFound` for an actor without such an export, `TypeMismatch` for what is no HTTP, `TooLarge`
        for a body beyond the actor's bound.
        """
        upload, ends = None, monotonic() + timeout
        if len(body) > PART_BYTES:
            body = bytes(body)
            # A repeat under the same key must be the same request.
            upload = urandom(16).hex() if key is None else sha256(key.encode() + b"\0" + body).hexdigest()[:32]
            for at in range(0, len(body), PART_BYTES):
                part = [upload, at, body[at : at + PART_BYTES]]
                left = max(ends - monotonic(), SHORTEST_S)
                await self.call_function(UPLOAD_FUNCTION, part, timeout=left, keyed=keyed)
            body, timeout = b"", max(ends - monotonic(), SHORTEST_S)
        params = [
            method,
            scheme,
            authority,
            path_with_query,
            [[name, value] for name, value in headers],
            body,
            None if trailers is None else [[name, value] for name, value in trailers],
            upload,
        ]
        async with self.stream_function(HTTP_FUNCTION, params, timeout=timeout, key=key, keyed=keyed) as stream:
            parts = [part async for part in stream]
            return WasiHttpResponse.from_wire(await stream.result(), parts)

    async def call_function_pack_void(
        self,
        name: str,
        cgrf: bytes,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        key: str | None = None,
        keyed: bool | None = None,
    ) -> None:
        """Call a function with its parameter tuple already encoded as CGRF, and wait until it is done.

        The result is left at the host. Raises as `call_function`.
        """
        await self._call(name, None, cgrf, "none", timeout, key, keyed)

    async def send(self, name: str, params: Params | None = None, *, key: str | None = None) -> None:
        """Send an operation one way: it runs, and nobody is told how it ends, nor whether there is such an actor.

        Raises only what is known before sending: `ChannelClosed`, `TooLarge`, `Overloaded`, `SerializationError`.
        """
        subject, spec = self._routes.get(name) or self._route(name)
        body = encode_request(_plain_params(params), op=_checked(key), reply="none")
        session = self._session
        trace = session.telemetry.start_call(spec, self.id, one_way=True)
        code: str | None = None
        try:
            session.connection.publish(subject, body, headers=None if trace is None else trace.headers)
        except ConnectionLost as error:
            code = ChannelClosed.code
            raise ChannelClosed(f"not connected, so nothing was sent: {error}", actor=self.id) from error
        except ActorError as error:
            code, error.actor = error.code, self.id
            raise
        finally:
            if trace is not None:
                trace.end(code)

    def bind(
        self, protocol: Callable[..., P], *, interface: str | None = None, timeout: float = DEFAULT_TIMEOUT_S
    ) -> P:
        """The actor as `protocol`: a `typing.Protocol` whose `async def` methods are exported functions.

        A type checker then knows parameters and results. `interface` is put before every name. Methods that the
        protocol does not declare are not there.
        """
        return bind(self, protocol, interface, timeout)

    # -- queries -------------------------------------------------------------------------------------------------------

    async def get_state(self, *, raw: bool = False, timeout: float = DEFAULT_TIMEOUT_S) -> Any:
        """The state after the last acknowledged operation, as a plain value; with `raw` as CGRF bytes or None.

        A state too large for a message comes through the object store.
        """
        form: Literal["cgrf", "value"] = "cgrf" if raw else "value"
        return await fetch_state(self._session, self.id, form, timeout)

    def get_chain(self, from_seq: int = 0) -> ChainView:
        """The event chain from `from_seq` on: `async for event in handle.get_chain()`, or `.follow()` for live events.

        Nothing is asked before it is iterated.
        """
        return ChainView(self._session, self.id, from_seq)

    async def get_metrics(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> ActorMetrics:
        """Counts and times of the actor since it started on its host."""
        return parsed(ActorMetrics.from_wire, await self._info("metrics", timeout), "info.metrics")

    async def get_export_hashes(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> tuple[InterfaceHash, ...]:
        """The interfaces that the actor exports, with the SHA-256 of their structure."""
        return (await self.inspect.exports(timeout=timeout)).hashes

    async def get_status(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> ActorStatus:
        """What the actor is and does just now."""
        status = parsed(ActorStatus.from_wire, await self._info("status", timeout), "info.status")
        self._is_memory = status.durability == "memory"
        return status

    # -- control -------------------------------------------------------------------------------------------------------

    async def shutdown(
        self,
        *,
        wait: bool = True,
        grace: float | None = None,
        reason: str = "",
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> str:
        """Stop the actor in order; returns its phase: `stopped`, or without `wait` what it is in at once.

        The running operation gets `grace` seconds (default: the host's) to finish, then it is cancelled; what is queued
        is answered `ShuttingDown`.
        """
        fields: dict[str, Any] = {"wait": wait}
        if grace is not None:
            fields["grace_ms"] = _grace_ms(grace)
        if reason:
            fields["reason"] = reason
        return await self._control("shutdown", fields, timeout)

    async def terminate(self, *, wait: bool = True, timeout: float = DEFAULT_TIMEOUT_S) -> str:
        """Stop the actor at once: the running operation is cut. Returns its phase."""
        return await self._control("terminate", {"wait": wait}, timeout)

    async def pause(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> str:
        """Keep what arrives in the mailbox; the running operation finishes. Returns the phase. Raises `Paused`."""
        return await self._control("pause", {}, timeout)

    async def resume(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> str:
        """Go on after a pause. Returns the phase. Raises `NotPaused`."""
        return await self._control("resume", {}, timeout)

    async def cancel(self, key: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> Literal["queued", "running", "none"]:
        """Cancel the operation that was called with `key`; its caller gets `Cancelled`.

        Returns where it was found: `queued` (it never runs), `running` (it is cut), or `none`.
        """
        _checked(key)
        subject = self._session.subjects.control(self.id, "cancel")
        for scope in self._session.scopes:
            answer = await self._session.ask(self.id, subject, {"op": key, "caller": scope}, timeout)
            found = parsed(lambda wire: wire["cancelled"], answer, "control.cancel")
            if found in ("queued", "running"):
                return "queued" if found == "queued" else "running"
        return "none"

    async def approve(
        self, approval: str, *, refuse: bool = False, note: str = "", timeout: float = DEFAULT_TIMEOUT_S
    ) -> Literal["granted", "refused", "none"]:
        """Decide about a host call that waits for a person; `get_status().approvals` lists them.

        Returns what was decided, or `none` when nothing waits under this id any more. `note` is for the log, and for
        the actor when it is refused.
        """
        fields = {"id": approval, "decision": "refused" if refuse else "granted", "note": note}
        subject = self._session.subjects.control(self.id, "approve")
        answer = await self._session.ask(self.id, subject, fields, timeout)
        found = parsed(lambda wire: wire["approval"], answer, "control.approve")
        return "none" if found == "none" else "refused" if refuse else "granted"

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _call(
        self,
        name: str,
        params: Params | None,
        cgrf: bytes | None,
        mode: ReplyMode,
        timeout: float,
        key: str | None,
        keyed: bool | None,
        is_part: Callable[[Message], bool] | None = None,
    ) -> Reply:
        subject, spec = self._routes.get(name) or self._route(name)
        if not 0 < timeout <= MAX_TIMEOUT_S:
            check_timeout(timeout)
        if type(params) not in _PLAIN_PARAMS:
            params = _plain_params(params)
        if key is not None:
            _checked(key, keyed)
        elif keyed or (keyed is None and not self._is_memory):
            key = urandom(16).hex()

        def encode(left_ms: int) -> bytes:
            return encode_request(params, cgrf=cgrf, timeout_ms=left_ms, op=key, reply=mode, stream=is_part is not None)

        session = self._session
        telemetry = session.telemetry
        started = perf_counter_ns()
        trace = telemetry.start_call(spec, self.id)
        code: str | None = None
        try:
            message = await session.exchange.request(
                self.id,
                subject,
                encode,
                timeout,
                keyed=key is not None,
                headers=None if trace is None else trace.headers,
                grace_s=REPLY_GRACE_S,
                is_part=is_part,
            )
            return decode_reply(message.data, message.headers, self.id)
        except ActorError as error:
            code = error.code
            if code == ActorNotFound.code:
                self._is_memory = False  # another actor may come to live under this id
            raise
        except CancelledError:
            code = Cancelled.code
            raise
        finally:
            if trace is not None:
                trace.end(code)
            telemetry.observe_call(spec, code, perf_counter_ns() - started)

    def _route(self, name: str) -> tuple[str, FunctionSpec]:
        session = self._session
        subject = session.subjects.ops(self.id, name, session.caller)
        spec = session.telemetry.function_spec(name, session.subjects.namespace, actor=self.id)
        route = self._routes[name] = (subject, spec)
        return route

    async def _info(self, query: str, timeout: float) -> Any:
        return await self._session.ask(self.id, self._session.subjects.info(self.id, query), {}, timeout)

    async def _control(self, verb: str, fields: dict[str, Any], timeout: float) -> str:
        answer = await self._session.ask(self.id, self._session.subjects.control(self.id, verb), fields, timeout)
        return str(parsed(lambda wire: wire["phase"], answer, f"control.{verb}"))


def _plain_params(params: object) -> list[Any] | dict[str, Any] | None:
    if isinstance(params, Mapping):
        return dict(params)
    if params is None:
        return None
    if isinstance(params, Sequence) and not isinstance(params, str | bytes | bytearray | memoryview):
        return list(params)
    raise SerializationError(
        f"params is {type(params).__name__} {params!r:.60}, neither a list nor a mapping. Fix: write [{params!r:.60}]"
    )


def _grace_ms(grace: float) -> int:
    if not 0 <= grace <= MAX_TIMEOUT_S:  # neither holds for a NaN
        raise ConfigurationError("grace", f"{grace!r} s is no time", "give seconds from 0 to 600")
    return round(grace * 1000)


def _checked(key: str | None, keyed: bool | None = None) -> str | None:
    if key is not None and not is_key(key):
        raise ConfigurationError("key", f"{key!r:.80} is none", "use 1 to 128 printable ASCII characters, no space")
    if keyed is False:
        raise ConfigurationError("keyed", "a key is given and keyed is False", "leave one of them out")
    return key
