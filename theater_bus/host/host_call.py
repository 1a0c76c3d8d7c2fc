"""Host calls of one actor: from the guest's import to the capability's method, recorded and traced on the way.

Invariants: what is recorded is what the guest saw; a call is recorded in the order in which it was made, whatever
became of it; a call of a cancelled operation is recorded as `unknown`; code that outlives its call finds no operation;
what reaches the outside at once (`@external`) runs only when everything before its operation is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, Any

from theater_bus.capability import HostCall, HostCallMiddleware
from theater_bus.core.values.types import Scalar
from theater_bus.engine import HostImport
from theater_bus.errors import ActorError, PermissionDenied
from theater_bus.host.frame import ASKED, FRAME, Asked, Frame, Imported, effect_key_of
from theater_bus.host.middleware import around_host_call
from theater_bus.host.outbox import Delivery, Send
from theater_bus.plugins import BoundFunction

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.operation import Operation
    from theater_bus.telemetry import HostCallOutcome

__all__ = ["HostCalls"]

log = logging.getLogger("theater_bus.capability")


class HostCalls:
    """The imports of one actor, bound to its capability instances."""

    __slots__ = ("_actor", "_middleware", "_pending", "_queued", "imports")

    def __init__(
        self,
        actor: Actor,
        functions: Sequence[tuple[Imported, BoundFunction]],
        middleware: Sequence[HostCallMiddleware],
    ) -> None:
        self._actor = actor
        self._middleware = tuple(middleware)
        self._pending: Frame | None = None
        self._queued = {(f.interface, f.name): (f, bound) for f, bound in functions if f.effect == "queued"}
        self.imports = tuple(
            HostImport(function.interface, function.name, self._import(function, bound))
            for function, bound in functions
        )

    def context_of(self, op: Operation) -> Callable[[], Context] | None:
        """What makes the context that the operation's coroutines run in; None for a guest that imports nothing.

        Most operations call nobody, so only a copy of where they began is made at once.
        """
        if not self.imports:
            return None
        if op.trace is None:
            return partial(copy_context().run, self._actor.services.telemetry.untraced_context, op.headers)
        return partial(copy_context().run, op.trace.context)

    def _import(self, function: Imported, bound: BoundFunction) -> BoundFunction:
        actor = self._actor
        if self._middleware:
            bound = self._behind_middleware(function, bound)
        declared = function.declaration
        is_log = function.name == "log" and [p.type for p in declared.params] == [Scalar.STRING]
        is_log = is_log and declared.result is None  # a run of `log` keeps no answers
        is_external = function.effect == "external"

        def call(data: bytes) -> bytes | Coroutine[Any, Any, bytes]:
            op = actor.current
            if op is None or op.recording is None:
                raise RuntimeError("a host call without an operation")
            started = time_ns()
            frame = Frame(op, op.recording.calls, function, data, started, is_log)
            if op.trace is not None:
                frame.trace = op.trace.host_call(function.interface, function.name, is_external, started)
            token = FRAME.set(frame)
            try:
                answer = self._committed(bound, data) if is_external and actor.journal.ahead else bound(data)
            except BaseException as error:
                self._ended(frame, "raised", None, error)
                raise
            finally:
                FRAME.reset(token)
            if type(answer) is not bytes:
                return self._waiting(answer, frame)  # type: ignore[arg-type]
            self._answered(frame, answer)
            return answer

        return call

    async def _committed(self, bound: BoundFunction, data: bytes) -> bytes:
        """Call what cannot be undone once all that came before the running operation is kept (output commit)."""
        await self._actor.journal.quiet()
        answer = bound(data)
        return answer if isinstance(answer, bytes) else await answer

    def delivery_of(self, interface: str, function: str, data: bytes) -> Delivery:
        """What a queued call that was recorded sends now: the capability is asked again. Raises an `ActorError`."""
        known = self._queued.get((interface, function))
        if known is None:
            raise PermissionDenied(f"the actor does not have {interface}.{function} any more")
        frame = Asked(self._actor)
        token = ASKED.set(frame)
        try:
            known[1](data)
        except ActorError:
            raise
        except Exception as error:
            raise PermissionDenied(f"{interface}.{function} refuses it now: {error}") from error
        finally:
            ASKED.reset(token)
        if frame.delivery is None:
            raise PermissionDenied(f"{interface}.{function} refuses it now")
        return frame.delivery

    def undelivered(self, interface: str, function: str, data: bytes, error: ActorError) -> None:
        """Tell the capability that one of its sends was given up."""
        for capability in self._actor.type.capabilities:
            known = capability.functions.get((interface, function))
            instance = self._actor.capabilities.get(capability.name)
            if known is not None and instance is not None:
                # A component passes its arguments in another way: those of its own import are what was recorded.
                own = self._queued.get((interface, function))
                codec = known.codec if own is None else own[0].codec
                try:
                    instance.undelivered(function, codec.decode_args(data), error)
                except Exception:
                    log.exception("capability %s failed at the end of a send", capability.name)

    def abandon(self, op: Operation) -> None:
        """`op` is over. A host function of it that still runs, in spite of its cancellation, is left and named."""
        frame = self._pending
        if frame is None or frame.op is not op:
            return
        self._event("capability.abandoned", frame)
        self._ended(frame, "unknown", None, TimeoutError("abandoned"))

    def _event(self, name: str, frame: Frame, **fields: object) -> None:
        identity, function = self._actor.identity, frame.function
        self._actor.services.telemetry.event(
            name,
            actor=identity.id,
            namespace=identity.namespace,
            host=identity.host,
            interface=function.interface,
            function=function.name,
            **fields,
        )

    async def _waiting(self, answer: Coroutine[Any, Any, bytes], frame: Frame) -> bytes:
        FRAME.set(frame)
        self._pending = frame
        if frame.trace is not None:
            frame.trace.activate()
        try:
            output = await answer
        except asyncio.CancelledError as error:
            self._ended(frame, "unknown", None, error)
            raise
        except BaseException as error:
            self._ended(frame, "raised", None, error)
            raise
        self._answered(frame, output)
        return output

    def _answered(self, frame: Frame, output: bytes) -> None:
        """The call worked. What it sends waits for the end of the operation."""
        delivery, outbox, op = frame.delivery, self._actor.outbox, frame.op
        if delivery is None or outbox is None:
            self._ended(frame, "returned", output, None)
            return
        function, trace = frame.function, frame.trace
        headers = None if trace is None else trace.headers()
        key = effect_key_of(self._actor, frame)
        outbox.stage(op, Send(function.interface, function.name, frame.input, key, frame.started, delivery, headers))
        self._ended(frame, "queued", output, None)

    def _ended(self, frame: Frame, outcome: HostCallOutcome, output: bytes | None, error: BaseException | None) -> None:
        """Observe and record a call, once: an abandoned one ends a second time, when nobody listens any more."""
        if not frame.open:
            return
        frame.open = False
        self._pending = None
        function, recording = frame.function, frame.op.recording
        self._observe(frame, outcome, error)
        if outcome == "raised":
            self._event("capability.failed", frame, error=f"{type(error).__name__}: {error}")
        if recording is None:
            return
        try:
            if frame.is_log and error is None:
                text = str(function.codec.decode_args(frame.input)[0])
                recording.log(frame.started, function.interface, frame.input, text)
            else:
                recording.host_call(frame.started, function.interface, function.name, frame.input, outcome, output)
        except ActorError:
            if error is None:
                raise

    def _observe(self, frame: Frame, outcome: HostCallOutcome, error: BaseException | None) -> None:
        function = frame.function
        now = time_ns()
        self._actor.services.telemetry.observe_host_call(
            function.interface, function.name, outcome, now - frame.started
        )
        if frame.trace is not None:
            frame.trace.end(outcome, None if error is None else _error_type(error), now)

    def _behind_middleware(self, function: Imported, bound: BoundFunction) -> BoundFunction:
        actor_id = self._actor.identity.id

        async def wrapped(data: bytes) -> bytes:
            async def proceed() -> bytes:
                answer = bound(data)
                return answer if isinstance(answer, bytes) else await answer

            call = HostCall(actor_id, function.interface, function.name, function.codec.bare(data))
            return await around_host_call(self._middleware, call, proceed)

        return wrapped


def _error_type(error: BaseException) -> str:
    return error.code if isinstance(error, ActorError) else type(error).__name__
