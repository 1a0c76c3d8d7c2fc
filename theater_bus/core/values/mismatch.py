"""How a codec says that a value is not what its type declares, and where.

Invariants: a closure that finds a fault knows only what it expected and saw; every closure that it was called from adds
its own step while the exception passes, so that paths cost nothing as long as everything fits.
"""

from __future__ import annotations

from itertools import islice
from reprlib import Repr
from typing import Any

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


class _Short(Repr):
    """The beginning of a text form: no more of a container is looked at than is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = _SHOWN_CHARACTERS
        self.maxstring = self.maxlong = self.maxother = 2 * _SHOWN_CHARACTERS

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """As `Repr` does, which sorts all keys first."""
        if level <= 0:
            return "{…}"
        items = islice(x.items(), self.maxdict)
        return f"{{{', '.join([f'{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}' for k, v in items])}}}"


_short = _Short()


def shown(value: object) -> str:
    """A plain value for a message: its Python type and the beginning of its text. Quick however large it is."""
    if value is None:
        return "nil"
    text = repr(value[:_SHOWN_CHARACTERS]) if isinstance(value, str | bytes) else _short.repr(value)
    kept = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return f"{type(value).__name__} {kept}"


def too_deep() -> Fault:
    """The fault of a value with too many levels."""
    return Fault(f"nested at most {MAX_DEPTH} levels deep", "more")


def wrong_node(expected: str, buffer: bytes, at: int) -> Fault:
    """The fault of a node of another kind."""
    return Fault(expected, Kind(buffer[at]).name.lower())
