"""What an actor listens to: its subscriptions and consumers by name, and how they are kept in a snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

__all__ = ["NAME_BYTES", "Consumption", "Interest", "Listening", "read_snapshot", "write_snapshot"]

NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Listening:
    """A subscription; with `queue` it shares its messages with the other members of that group."""

    name: str
    subject: str
    queue: str = ""

    @property
    def target(self) -> str:
        """What it listens to, for people."""
        return self.subject


@dataclass(frozen=True, slots=True)
class Consumption:
    """A durable consumer of a stream; `filter_subject` counts when it is made."""

    name: str
    stream: str
    durable: str
    filter_subject: str = ""

    @property
    def target(self) -> str:
        """What it consumes, for people and as the grant `consumers` names it."""
        return f"{self.stream}/{self.durable}"


Interest = Listening | Consumption


def write_snapshot(interests: Iterable[Interest]) -> bytes | None:
    """The interests as JSON; None where there are none."""
    kept = [asdict(one) for one in interests]
    return json.dumps(kept, separators=(",", ":")).encode() if kept else None


def read_snapshot(snapshot: bytes) -> list[Interest]:
    """What `write_snapshot` wrote. Raises `ValueError` for anything else."""
    try:
        return [Consumption(**one) if "stream" in one else Listening(**one) for one in json.loads(snapshot)]
    except TypeError as error:
        raise ValueError(f"this is no snapshot of subscriptions: {error}") from error
