"""Chains that are linked anew after a change."""

from collections.abc import Iterable

from theater_bus.core.chain.events import ZERO, Body, Event, decode_event, encode_event, event_hash
from theater_bus.core.chain.segments import Segment

__all__ = ["linked", "opened"]


def opened(segments: Iterable[Segment]) -> list[list[Event]]:
    """The events of every segment."""
    return [[decode_event(data) for data in segment.events] for segment in segments]


def linked(bodies: Iterable[Iterable[Body]]) -> list[Segment]:
    """A chain that is whole, of these bodies: what somebody would make who can write the whole chain."""
    head, seq, segments = ZERO, 0, []
    for group in bodies:
        first, events = seq, []
        for body in group:
            data = encode_event(seq, head, 1_000, body)
            events.append(data)
            head, seq = event_hash(data), seq + 1
        segments.append(Segment(first, head, tuple(events), sum(map(len, events))))
    return segments
