"""What the engine and the bus report, without knowing who listens.

The telemetry package implements this protocol; `SILENT` is the implementation that costs nothing. Implementations
must return at once, must not raise, and may be called from any thread.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["SILENT", "Instrumentation", "Silent"]


class Instrumentation(Protocol):
    """Counters and up-down counters that lower layers feed; names are those of the telemetry registry."""

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        """Add to the counter or up-down counter `name` (negative amounts for up-down counters only)."""

    def record(self, name: str, value: float, **attributes: str) -> None:
        """Record `value` in the histogram `name`, in its registered unit (seconds for durations)."""

    def event(self, name: str, **fields: object) -> None:
        """Emit the registered log event `name`."""


class Silent:
    """An `Instrumentation` that drops everything."""

    def count(self, name: str, amount: int = 1, **attributes: str) -> None:
        """Drop it."""

    def record(self, name: str, value: float, **attributes: str) -> None:
        """Drop it."""

    def event(self, name: str, **fields: object) -> None:
        """Drop it."""


SILENT: Instrumentation = Silent()
