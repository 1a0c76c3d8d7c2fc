"""What went wrong inside a guest, as the error that its caller gets."""

from __future__ import annotations

import logging
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from theater_bus.engine import GuestFailure
from theater_bus.errors import (
    ActorError,
    HandlerError,
    Internal,
    Overloaded,
    SerializationError,
    TooLarge,
    TypeMismatch,
    UnexpectedError,
)
from theater_bus.plugins import WrongArguments

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor
    from theater_bus.host.package import FunctionEntry
    from theater_bus.telemetry import Telemetry

__all__ = ["code_of", "error_of", "of_message", "of_result", "unexpected"]

log = logging.getLogger("theater_bus.host")

_WHAT = {
    "cpu-limit": "it used more CPU time than its limit (cpu_ms)",
    "memory-limit": "it needs more memory than its limit (memory_bytes)",
    "stack-overflow": "its stack is full: it recurses too deep",
    "unreachable": "it gave up (unreachable: a panic, an abort or a failed assertion)",
    "out-of-bounds": "it used an address outside its memory",
    "result-limit": "its result is longer than its limit (result_bytes)",
}
_REFUSED: Final = {"node-limit": TooLarge, "invalid-argument": TypeMismatch, "invalid-value": TypeMismatch}
"""What is no trap, by its reason: the guest broke its contract, which `on_failure` does not count."""


def error_of(failure: GuestFailure, entry: FunctionEntry, actor: Actor) -> ActorError:
    """The error for a call that has no result. An exception of a capability is logged here with its traceback."""
    if failure.reason == "host-call" and failure.exception is not None:
        return _of_host_call(failure.exception, entry, actor.identity.id)
    log.warning(
        "guest failed: actor=%s function=%s reason=%s %s%s",
        actor.identity.id,
        entry.name,
        failure.reason,
        failure.message,
        f"\n{failure.backtrace}" if failure.backtrace else "",
    )
    if failure.reason in _REFUSED:
        return _of_component(failure, entry)
    what = _WHAT.get(failure.reason, failure.message)
    return Internal(f"the guest failed in {entry.name}: {what}", reason=failure.reason, trap=failure.message)


def code_of(failure: GuestFailure) -> tuple[str, str | None]:
    """The code and the reason that the chain records of a failure that is no capability's."""
    refused = _REFUSED.get(failure.reason)
    return ("guest-trap", failure.reason) if refused is None else (refused.code, None)


def _of_component(failure: GuestFailure, entry: FunctionEntry) -> ActorError:
    """The error for what the same of a Pack module is refused with after it has returned."""
    match failure.reason:
        case "node-limit":
            text = f"{entry.name}: {failure.message}. Fix: raise limits.decode_nodes in the manifest, or return less"
            return TooLarge(text, ran="rolled-back", limit=entry.decode_nodes)
        case "invalid-argument":
            text, path = f"the guest called a host function with what is refused: {failure.message}", ""
        case _:
            text, path = f"the guest's result is no value: {failure.message}", "result"
    fix = "Fix: compare the component's WIT with its code"
    return TypeMismatch(f"{entry.name}: {text}. {fix}", ran="rolled-back", path=path)


def _of_host_call(exception: BaseException | None, entry: FunctionEntry, actor: str) -> ActorError:
    if isinstance(exception, Internal | HandlerError):
        return exception
    if isinstance(exception, Overloaded) and exception.details.get("bound") == "outbox":
        return exception
    if isinstance(exception, WrongArguments):
        return TypeMismatch(
            f"{entry.name}: the guest called a host function with {exception}",
            ran="rolled-back",
            path=exception.error.details.get("path", ""),
        )
    correlation = token_hex(8)
    log.error("capability failed: actor=%s correlation=%s", actor, correlation, exc_info=exception)
    return HandlerError(
        f"a capability failed while {entry.name} ran; the host's log has the cause under {correlation}",
        correlation=correlation,
    )


def of_message(entry: FunctionEntry, message: bytes) -> ActorError:
    """The error for a guest whose own decoder refused what it got, or could not encode what it had (pack-abi §3.3)."""
    text = message[:1000].decode("utf-8", "replace")
    return TypeMismatch(
        f"{entry.name}: the guest says: {text}. Fix: compare the package's metadata with its code",
        ran="rolled-back",
        path="",
        guest=text,
    )


def of_result(entry: FunctionEntry, output: bytes, error: ActorError) -> ActorError:
    """The error for a result that cannot be used: what the guest wrote wrong is not the caller's encoding."""
    if isinstance(error, SerializationError):
        limit = entry.codec.limits.max_bytes
        if len(output) > limit:
            error = TooLarge(
                f"the result of {entry.name} has {len(output)} bytes, a value has {limit} at most. Fix: return less",
                size_bytes=len(output),
                limit_bytes=limit,
            )
        else:
            error = TypeMismatch(
                f"{entry.name}: the guest's result is no value: {error.message}. Fix: compare the package's metadata "
                "with its code",
                path="result",
            )
    error.ran = error.details["ran"] = "rolled-back"
    return error


def unexpected(telemetry: Telemetry, actor: str, function: str, error: BaseException) -> UnexpectedError:
    """The error for a bug of ours: a correlation id for the caller, the traceback for the log."""
    correlation = token_hex(8)
    what = f"{type(error).__name__}: {error}"
    telemetry.event("operation.unexpected", actor=actor, function=function, error=what, correlation=correlation)
    log.error("unexpected error: actor=%s correlation=%s", actor, correlation, exc_info=error)
    return UnexpectedError(
        f"a bug in theater_bus; the host's log has the cause under {correlation}", correlation=correlation
    )
