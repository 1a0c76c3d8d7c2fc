"""A `Backend` in a directory: `files`, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from theater_bus_store.backend import Bounds, Collected, StoreTrouble, Usage
from theater_bus_store.files import StoreFiles

__all__ = ["DirectoryBackend"]

P = ParamSpec("P")
R = TypeVar("R")


class DirectoryBackend:
    """A `Backend` in `base`, which is made. Every method runs on a thread: the disk blocks."""

    def __init__(self, base: Path) -> None:
        self._files = StoreFiles(base)

    async def create(self, store: str, owner: str, most: int) -> None:
        """Make a store, unless it is there."""
        await _on_a_thread(self._files.create, store, owner, most)

    async def owner(self, store: str) -> str | None:
        """The owner of a store, or None."""
        return await _on_a_thread(self._files.owner, store)

    async def stores(self, owner: str | None = None) -> list[str]:
        """The stores of an owner, or all."""
        return await _on_a_thread(self._files.stores, owner)

    async def remove(self, store: str) -> None:
        """Remove a store."""
        await _on_a_thread(self._files.remove, store)

    async def put(self, store: str, content: bytes, bounds: Bounds) -> str:
        """Keep content."""
        return await _on_a_thread(self._files.put, store, content, bounds)

    async def get(self, store: str, reference: str, most: int) -> bytes | None:
        """The verified content, or None."""
        return await _on_a_thread(self._files.get, store, reference, most)

    async def exists(self, store: str, reference: str) -> bool:
        """Whether there is such content."""
        return await _on_a_thread(self._files.exists, store, reference)

    async def label(self, store: str, label: str, reference: str, bounds: Bounds) -> bool:
        """Let a label refer to content."""
        return await _on_a_thread(self._files.label, store, label, reference, bounds)

    async def labelled(self, store: str, label: str) -> str | None:
        """What a label refers to, or None."""
        return await _on_a_thread(self._files.labelled, store, label)

    async def unlabel(self, store: str, label: str) -> None:
        """Forget a label."""
        await _on_a_thread(self._files.unlabel, store, label)

    async def labels(self, store: str) -> list[str]:
        """All labels."""
        return sorted((await _on_a_thread(self._files.labels, store)).keys())

    async def contents(self, store: str) -> list[str]:
        """All references."""
        return sorted([path.name for path in await _on_a_thread(self._files.contents, store)])

    async def usage(self, store: str) -> Usage:
        """What the store holds."""
        return await _on_a_thread(self._files.usage, store)

    async def collect(self, store: str, grace_s: float, *, dry_run: bool = False) -> Collected:
        """Remove what no label refers to."""
        return await _on_a_thread(self._files.collect, store, grace_s, dry_run)


async def _on_a_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except OSError as error:
        # The path is the host's own affair.
        raise StoreTrouble(f"the store's directory cannot be used: {error.strerror or type(error).__name__}") from error
