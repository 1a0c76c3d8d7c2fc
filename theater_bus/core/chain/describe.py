"""Events for people: plain values with readable fields, for the command line and JSON.

Source: the chain page, "Events"; the field names are those of the body classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from theater_bus.core.chain.control import Control
from theater_bus.core.chain.events import Event
from theater_bus.core.chain.layout import Record, Stored, positions

__all__ = ["Render", "describe"]

Render: TypeAlias = Callable[[bytes], object]
"""How a payload is shown, given its bytes."""


def describe(event: Event, render: Render | None = None) -> dict[str, object]:
    """The event as a plain dict: `seq`, `hash`, `parent`, `time_ns`, `type`, then the fields of its body by name.

    Digests and ids are hex. Payloads are what `render` makes of them (hex without it); stored ones are
    `{"sha256", "size_bytes"}`. A control event has its word in `control`.
    """
    body = event.body
    plain: dict[str, object] = {
        "seq": event.seq,
        "hash": event.hash.hex(),
        "parent": event.parent.hex(),
        "time_ns": event.time_ns,
        "type": event.type,
    }
    if isinstance(body, Control):
        plain["control"] = body.KIND
    plain.update(_fields(body, render or bytes.hex))
    return plain


def _fields(record: Record, render: Render) -> dict[str, object]:
    return {
        name: _plain(getattr(record, name), render if "payload" in kind.label else bytes.hex)
        for name, kind, _ in positions(type(record))
    }


def _plain(value: object, render: Render) -> object:
    if isinstance(value, bytes):
        return render(value)
    if isinstance(value, Stored):
        return {"sha256": value.digest.hex(), "size_bytes": value.size_bytes}
    if isinstance(value, Record):
        return _fields(value, render)
    if isinstance(value, tuple):
        return [_plain(item, render) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, render) for key, item in value.items()}
    return value
