"""State that the instances of a capability share on purpose, keyed by owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["HostScoped"]

T = TypeVar("T")


class HostScoped(Generic[T]):
    """One `T` per owner for the whole process, made on first use by `factory`.

    Instances of a capability are made per actor; what they must share (a listener's port, a pool) lives here, and each
    access names the owner, so that one actor's clean-up cannot take another's things.
    """

    def __init__(self, factory: Callable[[str], T]) -> None:
        self._factory = factory
        self._items: dict[str, T] = {}

    def of(self, owner: str) -> T:
        """The item of `owner`, made if it does not exist."""
        item = self._items.get(owner)
        if item is None:
            item = self._items[owner] = self._factory(owner)
        return item

    def release(self, owner: str) -> T | None:
        """Take the item of `owner` away and return it, or None."""
        return self._items.pop(owner, None)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return iter(list(self._items.items()))

    def __len__(self) -> int:
        return len(self._items)
