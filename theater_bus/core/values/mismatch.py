"""How a codec says that a value is not what its type declares, and where.

Invariants: a closure that finds a fault knows only what it expected and saw; every closure that it was called from adds
its own step while the exception passes, so that paths cost nothing as long as everything fits.
"""

from __future__ import annotations

from theater_bus.core.values.model import Kind
from theater_bus.core.values.nodes import MAX_DEPTH
from theater_bus.errors import TypeMismatch

__all__ = ["Fault", "shown", "too_deep", "wrong_node"]

_SHOWN_CHARACTERS = 40


class Fault(Exception):
    """A value does not fit its declared type. Internal to the codecs: callers see `TypeMismatch`."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected, self.found = expected, found
        self.steps: list[str] = []

    def under(self, step: str) -> Fault:
        """This fault, found one level deeper: below `.field`, `[3]` or `.case`."""
        self.steps.append(step)
        return self

    def mismatch(self, root: str, subject: str = "") -> TypeMismatch:
        """The error for the caller: `root` is where the path begins (`params`), `subject` the function."""
        path = root + "".join(reversed(self.steps))
        where = f"{subject}: {path}" if subject else path
        return TypeMismatch(
            f"{where} must be {self.expected}, found {self.found}", path=path, expected=self.expected, found=self.found
        )


def shown(value: object) -> str:
    """A plain value for a message: its Python type and the beginning of its text."""
    if value is None:
        return "nil"
    text = repr(value[:_SHOWN_CHARACTERS]) if isinstance(value, str | bytes) else repr(value)
    kept = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return f"{type(value).__name__} {kept}"


def too_deep() -> Fault:
    """The fault of a value with too many levels."""
    return Fault(f"nested at most {MAX_DEPTH} levels deep", "more")


def wrong_node(expected: str, buffer: bytes, at: int) -> Fault:
    """The fault of a node of another kind."""
    return Fault(expected, Kind(buffer[at]).name.lower())
