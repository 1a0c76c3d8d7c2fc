"""What a conformance check is given, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from theater_bus.capability import Capability
from theater_bus.testing.running import RunningHost

__all__ = ["POINTS", "Case", "Example", "Finding"]

POINTS: Final = (
    "names",
    "types",
    "grants",
    "cancellation",
    "deadline",
    "non-blocking",
    "replay",
    "snapshot",
    "telemetry",
    "end",
)
"""What is checked, in the order in which it is told."""


class Example:
    """A call of a function by its pact name with plain values: `Example("sleep", 1_000_000)`.

    `settings` are those of the actor that makes it, in place of the case's: for calls that are to be refused.
    """

    __slots__ = ("args", "function", "settings")

    def __init__(self, function: str, *args: Any, settings: Mapping[str, Any] | None = None) -> None:
        self.function = function
        self.args = args
        self.settings = settings

    def __repr__(self) -> str:
        shown = ", ".join(repr(arg)[:80] for arg in self.args)
        return f"{self.function}({shown})"


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a capability does not do what is asked of all of them, and what to do about it."""

    point: str
    where: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.point}\n  in:      {self.where}\n  problem: {self.problem}\n  Fix:     {self.fix}"


@dataclass(frozen=True, slots=True)
class Case:
    """A capability, and what an actor needs to use it; see `conformance`."""

    cls: type[Capability]
    settings: Mapping[str, Any] = field(default_factory=dict)
    examples: Sequence[Example] = ()
    refused: Sequence[Example] = ()
    waiting: Example | None = None
    plugin: str | None = None
    read_elsewhere: Sequence[str] = ()
    needs_host: bool = False
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    installed: Sequence[str] = ()
    host: Mapping[str, Any] = field(default_factory=dict)
    harness: Mapping[str, Any] = field(default_factory=dict)
    handlers: type[Capability] | None = None
    spawn: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[RunningHost], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None
