"""Where the bus connects and as whom: plain data, checked when it is made."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from theater_bus.errors import ConfigurationError

__all__ = ["BusSettings", "TlsSettings"]

_SECRETS = frozenset({"password", "token", "nkey_seed"})
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_CERTIFICATES = "give PEM files that can be read in tls_ca, tls_cert and tls_key, the key for that certificate"
_SCHEMES = ("nats", "tls", "ws", "wss")
_POSITIVE = ("connect_timeout_s", "reconnect_wait_s", "ping_interval_s", "max_outstanding_pings", "pending_bytes")


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How to speak TLS: the authority to trust, a client certificate, the name to expect."""

    ca: Path | None = None
    """PEM file of the authority that signed the server's certificate; None trusts the system's."""
    cert: Path | None = None
    """PEM file of the client certificate, with `key`, for servers that verify clients."""
    key: Path | None = None
    hostname: str | None = None
    """The name to verify when it is not the one in the address."""
    handshake_first: bool = False
    """The server expects TLS before its INFO line (`handshake_first` in its configuration)."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ConfigurationError("tls", "a client certificate is a pair", "give both tls.cert and tls.key")

    def context(self) -> ssl.SSLContext:
        """The ssl context; raises ConfigurationError when a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                "tls", f"the certificate files cannot be loaded ({error})", _CERTIFICATES
            ) from error
        return context


@dataclass(frozen=True, slots=True, repr=False)
class BusSettings:
    """Everything a connection to NATS needs. At most one kind of credentials; `repr` shows none of them."""

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    """Addresses of one cluster, tried in any order: `nats://host:port`, `tls://…`; user:password@ is allowed."""
    name: str = "theater_bus"
    """Shown by the server's monitoring."""
    user: str | None = None
    password: str | None = None
    token: str | None = None
    nkey_seed: str | None = None
    """An nkey user seed (`SU…`)."""
    nkey_seed_file: Path | None = None
    creds_file: Path | None = None
    """A `.creds` file (JWT and seed), read again at every connect so that it can be rotated."""
    tls: TlsSettings | None = None
    inbox_prefix: str = "_INBOX"
    """Where replies arrive. Users with permissions of their own have one of their own (`_INBOX_alice`)."""
    light_subscriptions: bool = True
    """Dispatch without a task and a queue per subscription; False uses nats-py's public API only."""
    connect_timeout_s: float = 2.0
    reconnect_wait_s: float = 0.25
    """Between attempts to reconnect, with jitter. There is no limit to the attempts."""
    ping_interval_s: float = 10.0
    max_outstanding_pings: int = 2
    drain_timeout_s: float = 30.0
    pending_bytes: int = 64 * 1024 * 1024
    """What may wait to be written, also while reconnecting; beyond it `publish` raises Overloaded."""

    def __post_init__(self) -> None:
        if not self.servers:
            raise ConfigurationError("servers", "no address is given", "name at least one, nats://host:4222")
        for server in self.servers:
            if not _is_address(server):
                raise ConfigurationError(
                    "servers",
                    f"{server.rpartition('@')[2]!r} is no address of NATS",
                    "write nats://host:port, tls://host:port, ws://host:port or wss://host:port",
                )
            if self.tls is not None and server.startswith("ws://"):
                raise ConfigurationError(
                    "servers", f"{server.rpartition('@')[2]!r} is never encrypted, and tls is set", "write wss://"
                )
        kinds = [kind for kind in ("user", "token", "nkey_seed", "nkey_seed_file", "creds_file") if getattr(self, kind)]
        if len(kinds) > 1:
            raise ConfigurationError(" and ".join(kinds), "only one kind of credentials can be used", "keep one")
        if (self.user is None) != (self.password is None):
            raise ConfigurationError("user", "user and password belong together", "give both")
        if not _PREFIX.fullmatch(self.inbox_prefix):
            raise ConfigurationError(
                "inbox_prefix", f"{self.inbox_prefix!r} is not a subject", "use letters, digits, _"
            )
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigurationError(name, f"{getattr(self, name)!r} is not above zero")

    def __repr__(self) -> str:
        shown = {field.name: self._shown(field.name) for field in fields(self)}
        return f"BusSettings({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def _shown(self, name: str) -> str:
        value: Any = getattr(self, name)
        if name == "servers":
            return repr(tuple(_without_userinfo(server) for server in self.servers))
        return "'***'" if name in _SECRETS and value is not None else repr(value)

    @property
    def servers_text(self) -> str:
        """The addresses without credentials, for messages."""
        return ", ".join(_without_userinfo(server) for server in self.servers)

    @property
    def identity_text(self) -> str:
        """Who connects, without secrets, for messages."""
        if self.user is not None:
            return f"user {self.user!r}"
        for kind in ("token", "nkey_seed", "nkey_seed_file", "creds_file"):
            if getattr(self, kind):
                return f"the {kind}"
        return "a connection without credentials"


def _is_address(server: str) -> bool:
    scheme, mark, _ = server.partition("://")
    try:
        parts = urlsplit(server if mark else f"nats://{server}")
        return (not mark or scheme in _SCHEMES) and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not close
        return False


def _without_userinfo(server: str) -> str:
    if "@" not in server:
        return server
    if "://" not in server:
        return server.rpartition("@")[2]
    parts = urlsplit(server)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
