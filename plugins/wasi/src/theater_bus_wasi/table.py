"""What a guest holds handles on, and how functions of WASI are declared.

Invariants: numbers are given in order from 1 and never again within one instance, so that a repeated run gets the same
ones; a handle of another kind than a function takes cannot happen, since WebAssembly checks that; a guest that leaks
handles reaches a bound, not the host's memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, cast

from theater_bus.capability import HandlerError

__all__ = ["MAX_RESOURCES", "Group", "Pollable", "Table", "named", "not_granted"]

MAX_RESOURCES = 4096
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def named(*names: str) -> Callable[[F], F]:
    """Declare a method as these functions of WASI (`wasi:io/poll.[method]pollable.ready`)."""

    def mark(function: F) -> F:
        function.__wasi__ = names  # type: ignore[attr-defined]
        return function

    return mark


def not_granted(what: str, grant: str) -> HandlerError:
    """The error of a call that needs a grant and has no way in WIT to be refused: it ends the operation."""
    return HandlerError(
        f"wasi: {what}, which is not granted. Fix: write `{grant}` under [capabilities.wasi] in the actor's manifest; "
        "its parent and the host must allow as much",
        reason="not-granted",
    )


class Closable(Protocol):
    """Something that a handle stands for and that holds something of the host."""

    def close(self) -> None:
        """Give it back."""


class Pollable:
    """Something that becomes ready: `ready` says whether it is, `wait` returns when it is."""

    def __init__(self, ready: Callable[[], bool], wait: Callable[[], Any]) -> None:
        self.ready, self.wait = ready, wait

    @classmethod
    def always(cls) -> Pollable:
        """One that is ready."""

        async def at_once() -> None:
            await asyncio.sleep(0)

        return cls(lambda: True, at_once)


class Table:
    """The resources of one guest instance, by number."""

    def __init__(self) -> None:
        self._items: dict[int, object] = {}
        self._replaced: dict[int, int] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: object) -> int:
        """Give an item a number. Raises an error that ends the operation at the bound."""
        if len(self._items) >= MAX_RESOURCES:
            raise HandlerError(f"wasi: the guest holds {MAX_RESOURCES} resources and lets go of none", reason="leak")
        number, self._next = self._next, self._next + 1
        self._items[number] = item
        return number

    def put_at(self, number: int, item: object) -> None:
        """Put an item under a number that the host chose, in place of what was there.

        A guest that collects garbage lets go of what was there in a later call; that must not take the new item away.
        """
        if number in self._items:
            _close(self._items.pop(number))
            self._replaced[number] = self._replaced.get(number, 0) + 1
        self._items[number] = item

    def get(self, number: int, kind: type[T]) -> T:
        """The item of a number; its kind is what the guest's own types say."""
        item = self._items.get(number)
        if not isinstance(item, kind):
            raise HandlerError(f"wasi: resource {number} is gone", reason="gone")
        return item

    def take(self, number: int, kind: type[T]) -> T:
        """The item, which the guest gives away."""
        item = self.get(number, kind)
        del self._items[number]
        return item

    def drop(self, number: int) -> None:
        """The guest has let go of it, or of one that had its number before."""
        if self._replaced.get(number):
            self._replaced[number] -= 1
        else:
            _close(self._items.pop(number, None))

    def clear(self) -> None:
        """Nothing of it is held any more."""
        self._replaced.clear()
        items, self._items = self._items, {}
        for item in items.values():
            _close(item)


def _close(item: object) -> None:
    close = getattr(item, "close", None)
    if close is not None:
        close()


class Group:
    """Functions that belong together; `wasi` is the capability, with settings, table and context."""

    def __init__(self, wasi: Any) -> None:
        self.wasi = wasi
        self.settings = wasi.settings

    def renewed(self) -> None:
        """The guest is a fresh one."""

    @property
    def table(self) -> Table:
        """The resources of the guest."""
        return cast("Table", self.wasi.table)

    @classmethod
    def declared(cls) -> Iterator[tuple[str, str]]:
        """Function of WASI → method."""
        for attribute in dir(cls):
            for name in getattr(getattr(cls, attribute), "__wasi__", ()):
                yield name, attribute
