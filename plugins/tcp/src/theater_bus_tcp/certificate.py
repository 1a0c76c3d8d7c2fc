"""TLS contexts from what the operator of the host has configured. Reading files is left to threads, and done seldom.

Invariants: there is no context that does not verify a server, and no connection without TLS where TLS was asked for:
what cannot be read is an error. The guest never learns a path of the host.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from time import monotonic

from pydantic import BaseModel, ConfigDict, Field

from theater_bus.capability import CapabilityError

__all__ = ["Certificate", "Contexts", "HostSettings"]

log = logging.getLogger("theater_bus_tcp")

RENEW_S = 60.0
"""How often files are looked at for being newer."""


class Certificate(BaseModel):
    """A chain of certificates, the server's first, and its key: PEM files on the host."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chain: Path
    key: Path


class HostSettings(BaseModel):
    """`[capabilities.tcp]` in the host's configuration, for all actors together.

    `certificates` are what servers present, by the name that manifests use; `ca_file` holds authorities that clients
    trust beside the system's; `connections` is how many there may be on the host.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificates: dict[str, Certificate] = Field(default_factory=dict)
    ca_file: Path | None = None
    connections: int = Field(default=10_000, ge=0, le=1_000_000)


class _Kept:
    """A context, what its files were like, and when they were looked at last."""

    __slots__ = ("checked", "context", "stamps")

    def __init__(self, context: ssl.SSLContext, stamps: tuple[int, ...]) -> None:
        self.context, self.stamps, self.checked = context, stamps, monotonic()


class Contexts:
    """The contexts of one host, made when they are first needed and again when their files have changed."""

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._kept: dict[str | None, _Kept] = {}
        self._lock = asyncio.Lock()

    async def client(self) -> ssl.SSLContext:
        """A context that verifies servers against the system's authorities and the operator's."""
        extra = self._settings.ca_file
        return await self._context(None, () if extra is None else (extra,))

    async def server(self, name: str) -> ssl.SSLContext:
        """A context with the operator's certificate of this name. Raises `CapabilityError` where there is none."""
        certificate = self._settings.certificates.get(name)
        if certificate is None:
            raise CapabilityError(
                f"this host has no certificate {name!r:.80}. Fix: add [capabilities.tcp.certificates.{name:.80}] to "
                "its configuration"
            )
        return await self._context(name, (certificate.chain, certificate.key))

    async def _context(self, name: str | None, files: tuple[Path, ...]) -> ssl.SSLContext:
        async with self._lock:
            kept = self._kept.get(name)
            if kept is not None and monotonic() - kept.checked < RENEW_S:
                return kept.context
            try:
                stamps = await asyncio.to_thread(_stamps, files)
                if kept is not None and kept.stamps == stamps:
                    kept.checked = monotonic()
                    return kept.context
                context = await asyncio.to_thread(_client if name is None else _server, files)
            except (OSError, ssl.SSLError) as error:
                what = "its authorities" if name is None else f"its certificate {name!r:.80}"
                log.exception("%s cannot be read", what)
                raise CapabilityError(f"this host cannot read {what}; its log has the cause") from error
            self._kept[name] = _Kept(context, stamps)
            return context


def _stamps(files: tuple[Path, ...]) -> tuple[int, ...]:
    return tuple(file.stat().st_mtime_ns for file in files)


def _client(files: tuple[Path, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in files:
        context.load_verify_locations(cafile=str(file))
    return context


def _server(files: tuple[Path, ...]) -> ssl.SSLContext:
    chain, key = files
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(chain), str(key))
    return context
