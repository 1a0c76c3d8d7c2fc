"""`theater-bus store`: what is in the stores of a namespace, and the collection of what no label refers to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import click

from theater_bus import Theater
from theater_bus_store.backend import Backend, NoSuchStore
from theater_bus_store.bucket import BucketBackend
from theater_bus_store.directory import DirectoryBackend

__all__ = ["command"]

DAY_S = 86_400
Work = Callable[[Backend], Awaitable[None]]


class _Out(Protocol):
    def table(self, value: Any, head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None: ...

    def document(self, value: Any, text: Callable[[], str]) -> None: ...


class _Invocation(Protocol):
    """What the command line hands to every command."""

    doing: str

    @property
    def out(self) -> _Out: ...

    @property
    def namespace(self) -> str: ...

    def theater(self) -> AbstractAsyncContextManager[Theater]: ...

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None: ...


@click.group("store", short_help="List stores, and collect what no label refers to.")
def command() -> None:
    """Look after the stores of the capability `store`, on NATS or, with --data, in the directory of a host."""


_data = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The host's data directory."
)


@command.command("list")
@_data
@click.pass_obj
def list_stores(invocation: _Invocation, data: Path | None) -> None:
    """List the stores: whose they are, and what they hold."""
    invocation.doing = "list the stores"

    async def work(backend: Backend) -> None:
        found: list[Mapping[str, Any]] = []
        for store in await backend.stores():
            found.append({"store": store, "owner": await backend.owner(store), **asdict(await backend.usage(store))})
        head = ["STORE", "OWNER", "CONTENTS", "BYTES", "LABELS"]
        rows = [[str(one) for one in store.values()] for store in found]
        invocation.out.table(found, head, rows, f"there is no store in namespace {invocation.namespace!r}")

    _run(invocation, data, work)


@command.command("gc")
@click.argument("stores", nargs=-1, metavar="[STORE]...")
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=DAY_S,
    show_default=True,
    metavar="SECONDS",
    help="Only what was stored or labelled last so long ago.",
)
@click.option("--dry-run", is_flag=True, help="Only count.")
@_data
@click.pass_obj
def collect(
    invocation: _Invocation, stores: tuple[str, ...], older_than: float, dry_run: bool, data: Path | None
) -> None:
    """Remove content that no label refers to, of the STOREs or of all."""
    invocation.doing = "collect garbage"

    async def work(backend: Backend) -> None:
        found: list[Mapping[str, Any]] = []
        for store in await _chosen(backend, stores):
            removed = await backend.collect(store, older_than, dry_run=dry_run)
            found.append({"store": store, "contents": removed.contents, "bytes": removed.size_bytes})
        verb = "would remove" if dry_run else "removed"
        lines = [f"{one['store']}: {verb} {one['contents']} contents, {one['bytes']} bytes" for one in found]
        invocation.out.document(found, lambda: "\n".join(lines) or "there is no store")

    _run(invocation, data, work)


@command.command("remove")
@click.argument("store")
@_data
@click.pass_obj
def remove(invocation: _Invocation, store: str, data: Path | None) -> None:
    """Remove STORE with all that is in it."""
    invocation.doing = f"remove the store {store}"

    async def work(backend: Backend) -> None:
        [chosen] = await _chosen(backend, (store,))
        await backend.remove(chosen)
        invocation.out.document({"removed": chosen}, lambda: chosen)

    _run(invocation, data, work)


async def _chosen(backend: Backend, wanted: Sequence[str]) -> list[str]:
    """The stores that are meant. Raises `NoSuchStore`."""
    known = await backend.stores()
    for store in wanted:
        if store not in known:
            raise NoSuchStore(store)
    return list(wanted) or known


def _run(invocation: _Invocation, data: Path | None, work: Work) -> None:
    async def main() -> None:
        async with _backend(invocation, data) as backend:
            await work(backend)

    invocation.run(main)


@asynccontextmanager
async def _backend(invocation: _Invocation, data: Path | None) -> AsyncIterator[Backend]:
    if data is not None:
        yield DirectoryBackend(data / "capabilities" / "store" / invocation.namespace)
        return
    async with invocation.theater() as theater:
        keys, objects = await theater.capability_buckets("store")
        yield BucketBackend(keys, objects)
