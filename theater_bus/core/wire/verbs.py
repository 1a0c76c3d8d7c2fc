"""From the name of a query or verb and what was sent, to its fields.

Invariant: no undeclared verb and no undeclared field gets through; reserved verbs are answered as unknown ones.

Source: wire protocol, "Subjects", "Nested calls" and "Large answers".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from theater_bus.core.wire.subjects import Channel
from theater_bus.core.wire.verb_schema import Verb
from theater_bus.core.wire.verb_table import VERBS
from theater_bus.errors import UnknownVerb

__all__ = ["parse_fields", "verb_of"]


def verb_of(channel: Channel, name: str) -> Verb:
    """The verb `name` of `channel`. Raises `UnknownVerb`, with the nearest ones, also for a reserved one."""
    verbs = VERBS[channel]
    verb = verbs.get(name)
    if verb is not None and not verb.reserved:
        return verb
    known = [verb.name for verb in verbs.values() if not verb.reserved]
    nearest = get_close_matches(name[:80], known, 3)
    what = "query" if channel is Channel.INFO else "verb"
    hint = f"Did you mean {nearest[0]!r}?" if nearest else f"Known: {', '.join(known)}."
    raise UnknownVerb(f"no {channel.value} {what} {name[:80]!a}. {hint}", verb=name[:80], nearest=nearest)


def parse_fields(channel: Channel, verb: str, params: Mapping[str, Any] | Sequence[Any] | None) -> dict[str, Any]:
    """The fields of a request to `channel` with defaults filled in; `params` as the envelope had them.

    Raises `UnknownVerb`, or `SerializationError` for a field that is unknown, missing, or out of its bounds.
    """
    return verb_of(channel, verb).parse(params)
