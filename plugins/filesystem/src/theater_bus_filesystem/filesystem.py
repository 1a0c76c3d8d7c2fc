"""`theater:simple/filesystem`: files and folders below granted paths. See `tree` for what keeps it there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, Field

from theater_bus.capability import FLAG, NUMBER, PATHS, Capability, CapabilityError, Context, blocking
from theater_bus.capability import Settings as BaseSettings
from theater_bus_filesystem import tree
from theater_bus_filesystem.tree import Tree

__all__ = ["Filesystem"]

MIB = 1024 * 1024


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError("is relative. Fix: write the whole path; relative ones are in the folder of `own_dir`")
    return path


Granted = tuple[Annotated[str, Field(strict=True), AfterValidator(_absolute)], ...]


class Filesystem(Capability):
    """Files and folders below `read` and `write`, and in a folder of the actor's own."""

    name = "filesystem"
    pact = "filesystem.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`[capabilities.filesystem]`; without `read`, `write` or `own_dir` nothing is allowed."""

        read: Annotated[Granted, PATHS] = ()
        write: Annotated[Granted, PATHS] = ()
        own_dir: Annotated[bool, FLAG, Field(strict=True)] = False
        file_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1024 * MIB)] = 8 * MIB
        entries: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1_000_000)] = 10_000

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._own: Path | None = None
        if settings.own_dir:
            if context.data_dir is None:
                raise ValueError("own_dir needs a data directory. Fix: start the host with --data DIR, or leave it out")
            self._own = context.data_dir / context.actor.namespace / context.actor.id
        self._tree = Tree(settings.read, settings.write, self._own)

    async def start(self) -> None:
        """Make the folder of the actor's own. It outlives the actor."""
        if self._own is not None:
            await asyncio.to_thread(self._own.mkdir, mode=0o700, parents=True, exist_ok=True)

    @blocking
    def read_file(self, path: str) -> bytes:
        """The content of a file."""
        with self._tree.entry(path, "read") as entry:
            return tree.read(entry, self.settings.file_bytes)

    @blocking
    def write_file(self, path: str, content: str) -> None:
        """Make or replace a file."""
        self._write(path, content.encode())

    @blocking
    def write_bytes(self, path: str, content: bytes) -> None:
        """Make or replace a file."""
        self._write(path, content)

    @blocking
    def list_files(self, path: str) -> list[str]:
        """The names in a folder."""
        with self._tree.folder(path, "read") as folder:
            return tree.names(folder, self.settings.entries)

    @blocking
    def delete_file(self, path: str) -> None:
        """Remove a file or a link."""
        with self._tree.entry(path, "write") as entry:
            tree.remove_file(entry)

    @blocking
    def create_dir(self, path: str) -> None:
        """Make a folder."""
        with self._tree.entry(path, "write") as entry:
            tree.make_folder(entry)

    @blocking
    def delete_dir(self, path: str) -> None:
        """Remove a folder and what is in it; not the granted one itself."""
        with self._tree.entry(path, "write") as entry:
            tree.remove_folder(entry)

    @blocking
    def path_exists(self, path: str) -> bool:
        """Whether there is anything."""
        return self._tree.exists(path, "read", "write")

    def execute_command(self, dir_: str, command: str, args: list[str]) -> Any:
        """Refused."""
        _refuse_programs(command)

    def execute_nix_command(self, dir_: str, command: str) -> Any:
        """Refused."""
        _refuse_programs(command)

    def _write(self, path: str, content: bytes) -> None:
        most = self.settings.file_bytes
        if len(content) > most:
            raise CapabilityError(
                f"{len(content)} bytes are more than the grant filesystem.file_bytes = {most}. Fix: write "
                f"`file_bytes = {len(content)}` under [capabilities.filesystem]; parent and host must allow as much"
            )
        with self._tree.entry(path, "write") as entry:
            tree.write(entry, content)


def _refuse_programs(command: str) -> NoReturn:
    raise CapabilityError(
        f"{command!r:.200} is not run: access to files runs no programs. Fix: import theater:simple/process, and name "
        "the program under [capabilities.process]"
    )
