"""One event of a chain as a line for people, and as a document for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from theater_bus.cli.output import compact, json_form
from theater_bus.core.chain.bodies import Call, Exit, Failure, Genesis, HostCall, LogRun, Result
from theater_bus.core.chain.control import Control
from theater_bus.core.chain.describe import describe
from theater_bus.core.chain.events import Event
from theater_bus.core.chain.layout import Payload, Stored
from theater_bus.core.values.cgrf import decode
from theater_bus.core.values.plain import plain_of
from theater_bus.errors import TheaterError

__all__ = ["event_document", "event_line"]

_WIDTH = 48
_NARROW = 24
_BESIDE = 48
"""Columns of a line beside the summary."""


def event_document(event: Event) -> dict[str, Any]:
    """The event with readable fields; payloads as plain values."""
    return dict(describe(event, _rendered))


def event_line(event: Event, columns: int = 0) -> str:
    """`    3  12:00:01.234  call        increment(5)  from alice   9f3c1a20`, in `columns` where they are given."""
    moment = datetime.fromtimestamp(event.time_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
    summary = _summary(event)
    width = _WIDTH if not columns else max(_NARROW, columns - _BESIDE)
    if columns and len(summary) > width:
        summary = summary[: width - 1] + "…"
    return f"{event.seq:>6}  {moment}  {event.type:<10}  {summary:<{width}}  {event.hash.hex()[:12]}"


def _summary(event: Event) -> str:
    body = event.body
    match body:
        case Genesis():
            state = "" if body.state is None else f", state {_short(body.state)}"
            return f"actor {body.actor}, package {body.package.hex()[:8]}{state}"
        case Call():
            caller = f"  from {body.caller}" if body.caller else ""
            return f"{body.function}({_arguments(body.params)}){caller}"
        case LogRun():
            first = body.lines[0] if body.lines else ""
            shown = first if len(first) <= 34 else first[:33] + "…"
            return f"log {shown!r}" + (f" and {body.count - 1} more" if body.count > 1 else "")
        case HostCall():
            answer = body.outcome if body.outcome != "returned" or body.output is None else _short(body.output)
            return f"{body.function}({_arguments(body.input)}) → {answer}  {body.interface}"
        case Result():
            state = ", state as before" if body.state is None else f", state {_short(body.state)}"
            return f"{_short(body.value)}{state}"
        case Failure():
            reason = f" ({body.reason})" if body.reason else ""
            return f"{body.code}{reason}: {body.message}"[:96]
        case Exit():
            return body.reason
        case Control():
            return body.KIND
        case _:
            return ""


def _arguments(payload: Payload) -> str:
    """The parameter tuple of a call without its brackets."""
    text = _short(payload)
    if text == "null":
        return ""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _short(payload: Payload) -> str:
    if isinstance(payload, Stored):
        return f"<{payload.size_bytes} bytes, sha256 {payload.digest.hex()[:8]}>"
    return compact(_rendered(payload), 40)


def _rendered(payload: bytes) -> Any:
    """The plain value in a payload; its bytes in hex where it is none, as an empty result."""
    if not payload:
        return None
    try:
        return json_form(plain_of(decode(payload)))
    except TheaterError:
        return payload.hex()
