"""One run of the command line: the options that every command has, and what commands need to do their work."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from theater_bus.cli.output import Output

if TYPE_CHECKING:
    from theater_bus.bus import BusSettings
    from theater_bus.client import Theater

__all__ = ["Invocation"]

T = TypeVar("T")


class Invocation:
    """The options as they were given, and the ways to NATS.

    `typed` names the shared options that stood on the command line, not in the environment. `doing` is what an error's
    first line says was tried.
    """

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.typed: set[str] = set()
        self.doing = ""
        self.out = Output()

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses of NATS."""
        text: str = self.given["server"]
        return tuple(part.strip() for part in text.split(",") if part.strip())

    @property
    def namespace(self) -> str:
        """The namespace."""
        return str(self.given["namespace"])

    @property
    def timeout_s(self) -> float:
        """How long the command may wait for an answer."""
        return float(self.given["timeout"])

    @property
    def debug(self) -> bool:
        """Whether tracebacks are shown."""
        return bool(self.given.get("debug"))

    def bus(self) -> BusSettings:
        """How to connect: the options, and the variables that hosts know too. Raises `ConfigurationError`."""
        from theater_bus.bus import BusSettings, TlsSettings

        def variable(name: str) -> str | None:
            return os.environ.get(f"THEATER_BUS_{name}") or None

        def path(name: str) -> Path | None:
            text = variable(name)
            return None if text is None else Path(text)

        tls = None
        handshake_first = _is_on("THEATER_BUS_TLS_HANDSHAKE_FIRST")
        if any(map(variable, ("TLS_CA", "TLS_CERT", "TLS_KEY", "TLS_HOSTNAME"))) or handshake_first:
            tls = TlsSettings(
                path("TLS_CA"), path("TLS_CERT"), path("TLS_KEY"), variable("TLS_HOSTNAME"), handshake_first
            )
        return BusSettings(
            servers=self.servers,
            name="theater-bus command line",
            user=self.given["user"],
            password=self.given["password"],
            token=variable("TOKEN"),
            nkey_seed_file=path("NKEY_SEED_FILE"),
            creds_file=self.given["creds"],
            tls=tls,
            inbox_prefix=self.given["inbox_prefix"],
        )

    @asynccontextmanager
    async def theater(self, caller: str | None = None) -> AsyncIterator[Theater]:
        """A connection to the namespace, for the time of the command. Its errors come with suggestions."""
        from theater_bus.cli.suggestion import suggest
        from theater_bus.client import connect
        from theater_bus.errors import ActorError
        from theater_bus.telemetry import Telemetry

        telemetry = Telemetry.from_environment(service_name="theater-bus-cli")
        try:
            async with connect(
                options=self.bus(), namespace=self.namespace, caller=caller, telemetry=telemetry
            ) as theater:
                try:
                    yield theater
                except ActorError as error:
                    await suggest(theater, error)
                    raise
        finally:
            await telemetry.close()

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a command's coroutine to its end. Ctrl-C cancels it and raises KeyboardInterrupt."""
        import asyncio
        import logging

        # What the library logs is told as an error where it matters; stderr holds nothing else.
        handler = logging.StreamHandler() if self.debug else logging.NullHandler()
        logger = logging.getLogger("theater_bus")
        logger.addHandler(handler)
        try:
            return asyncio.run(main())
        finally:
            logger.removeHandler(handler)


def _is_on(name: str) -> bool:
    """Whether a variable says yes, in the words that hosts understand. Raises `ConfigurationError` for others."""
    text = os.environ.get(name, "").lower()
    if text in ("1", "true", "t", "yes", "y", "on"):
        return True
    if text in ("", "0", "false", "f", "no", "n", "off"):
        return False
    from theater_bus.errors import ConfigurationError

    raise ConfigurationError(name, f"{text!r} is neither yes nor no", "write true or false")
