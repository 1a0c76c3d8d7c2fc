"""The capability itself: its grants, and the functions of all its groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, cast

from pydantic import Field, field_validator

from theater_bus.capability import ENDPOINTS, EXACT, FLAG, NUMBER, PATHS, STRINGS, Context, PeerRequest, WitCapability
from theater_bus.capability import Settings as BaseSettings
from theater_bus.errors import FunctionNotFound
from theater_bus_wasi.cli import Cli
from theater_bus_wasi.clocks import Clocks, Random
from theater_bus_wasi.filesystem import Filesystem
from theater_bus_wasi.http import FRONTS, HANDLE, Http
from theater_bus_wasi.outgoing import Outgoing
from theater_bus_wasi.sockets import Sockets
from theater_bus_wasi.streams import Streams
from theater_bus_wasi.table import Group, Table
from theater_bus_wasi.upload import UPLOAD_PACT

__all__ = ["Wasi"]

GROUPS: tuple[type[Group], ...] = (Streams, Clocks, Random, Cli, Filesystem, Sockets, Http, Outgoing)
METHODS: dict[str, tuple[type[Group], str]] = {
    name: (group, method) for group in GROUPS for name, method in group.declared()
}


_DESCRIPTOR = "wasi:filesystem/types.[method]descriptor."
_OUTPUT = "wasi:io/streams.[method]output-stream."
EXTERNAL = frozenset(
    (
        *(
            _DESCRIPTOR + one
            for one in (
                *("write", "set-size", "open-at", "create-directory-at", "remove-directory-at", "unlink-file-at"),
                "rename-at",
            )
        ),
        *(_OUTPUT + one for one in ("write", "blocking-write-and-flush", "write-zeroes", "splice", "blocking-splice")),
        _OUTPUT + "blocking-write-zeroes-and-flush",
        "wasi:sockets/tcp.[method]tcp-socket.start-connect",
        "wasi:http/outgoing-handler.handle",
    )
)
"""What others can see before the operation is recorded. Where a stream leads to is not known."""


class Wasi(WitCapability):
    """WASI 0.2 for components. Without settings a guest gets nothing: see the page of the capability."""

    name = "wasi"
    packages: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("wasi:io", "wasi:clocks", "wasi:random", "wasi:cli", "wasi:filesystem", "wasi:sockets", "wasi:http"), "0.2"
    )
    external: ClassVar[frozenset[str]] = EXTERNAL
    fronts: ClassVar[str] = FRONTS
    peer_pact: ClassVar[str] = UPLOAD_PACT
    settings: Settings

    class Settings(BaseSettings):
        """`clocks` and `random`: the host's own. `environment`: `NAME=value`. `arguments`: of the command line.
        `stdio`: standard output and error become lines of the actor's log.
        `read` and `write`: directories. `connect`: where TCP connections may go, `host:port`.
        `http_body_bytes` and `http_header_bytes` bound the requests that an actor serves, and its responses.
        """

        clocks: Annotated[bool, FLAG] = False
        random: Annotated[bool, FLAG] = False
        environment: Annotated[tuple[str, ...], STRINGS] = ()
        arguments: Annotated[tuple[str, ...], EXACT] = ()
        stdio: Annotated[bool, FLAG] = False
        read: Annotated[tuple[str, ...], PATHS] = ()
        write: Annotated[tuple[str, ...], PATHS] = ()
        connect: Annotated[tuple[str, ...], ENDPOINTS] = ()
        http_body_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0)] = 8 * 1024 * 1024
        http_header_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0)] = 64 * 1024

        @field_validator("environment")
        @classmethod
        def _variables(cls, given: tuple[str, ...]) -> tuple[str, ...]:
            for one in given:
                if not one.partition("=")[1] or one.startswith("=") or "\0" in one:
                    raise ValueError(f"{one[:80]!r} is not of the form NAME=value")
            return given

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self.table = Table()
        self._groups = {group: group(self) for group in GROUPS}
        self._http = cast("Http", self._groups[Http])
        self._http.outgoing = cast("Outgoing", self._groups[Outgoing])

    @classmethod
    def offers(cls) -> frozenset[str]:
        """Every function of the packages."""
        return frozenset(METHODS)

    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """The methods of this actor's groups."""
        return {name: getattr(self._groups[group], method) for name, (group, method) in METHODS.items()}

    def enter(self, function: str, arguments: list[Any], handles: list[int]) -> None:
        """A request is going to be served."""
        self._http.enter(arguments, handles)

    def peer_upload(self, request: PeerRequest, id: str, offset: int, data: bytes) -> int:
        """A part of the body of a request that will come."""
        if not self.context.has_export(HANDLE):
            raise FunctionNotFound("the actor serves no HTTP", function=HANDLE)
        return self._http.uploads.add(id, offset, data)

    def leave(self, function: str) -> Any:
        """The response of the request that was served."""
        return self._http.leave()

    def dropped(self, resource: str, number: int) -> None:
        """The guest let go of a handle."""
        self.table.drop(number)

    def renewed(self) -> None:
        """The guest is a fresh one: nothing is held any more."""
        self.table.clear()
        for group in self._groups.values():
            group.renewed()

    async def stop(self) -> None:
        """Close what is still open."""
        self.table.clear()
        self._http.uploads.close()
