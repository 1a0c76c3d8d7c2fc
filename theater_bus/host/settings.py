"""The host's settings: from arguments, then `THEATER_BUS_*` variables, then defaults. Unknown names are refused."""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from theater_bus.bus import BusSettings, TlsSettings
from theater_bus.core.grants import HOSTS
from theater_bus.core.manifest import HostLimits
from theater_bus.core.wire.reply import DEFAULT_REPLY_PREFIXES

__all__ = ["HostSettings"]

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_LISTS = ("servers", "reply_prefixes", "plugins_allow", "package_hosts")


def _default_host_id() -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in socket.gethostname())[:40]
    return f"{name or 'host'}-{os.getpid()}"


class HostSettings(BaseSettings):
    """Everything that a host process can be told. Durations and sizes carry their unit in their name.

    Variables hold lists separated by commas: `THEATER_BUS_SERVERS=nats://a:4222,nats://b:4222`.
    """

    model_config = SettingsConfigDict(env_prefix="THEATER_BUS_", extra="forbid", frozen=True)

    # where the bus is, and as whom
    servers: Annotated[tuple[str, ...], NoDecode] = ("nats://127.0.0.1:4222",)
    user: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    creds_file: Path | None = None
    nkey_seed_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_hostname: str | None = None
    tls_handshake_first: bool = False
    inbox_prefix: str = "_INBOX"
    light_subscriptions: bool = True

    # who this host is
    namespace: Token = "default"
    host_id: Token = Field(default_factory=_default_host_id)
    mode: Literal["dev", "production"] = "dev"

    # what it keeps and loads
    data_dir: Path | None = None
    packages_dir: Path | None = None
    package_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    cache_dir: Path | None = None
    fsync: Literal["always", "interval", "never"] = "always"
    config: Annotated[dict[str, Any] | None, NoDecode] = None

    # who may do what
    caller_subjects: bool = False
    authorize_default: Literal["allow", "deny"] = "allow"
    reply_prefixes: Annotated[tuple[str, ...], NoDecode] = DEFAULT_REPLY_PREFIXES
    plugins_allow: Annotated[tuple[str, ...] | None, NoDecode] = None
    grants: Annotated[dict[str, dict[str, Any]] | None, NoDecode] = None

    # bounds
    grace_ms: int = Field(default=10_000, ge=0, le=3_600_000)
    turn_ms: float = Field(default=2.0, gt=0, le=1_000)
    max_actors: int = Field(default=100_000, ge=1)
    max_memory_bytes: int = Field(default=1 << 30, ge=65_536)
    max_cpu_ms: int = Field(default=60_000, ge=1)
    max_timeout_ms: int = Field(default=3_600_000, ge=1)
    blocking_threads: int = Field(default=8, ge=1, le=256)
    heartbeat_ms: int = Field(default=5_000, ge=100)
    repeat_one_in: int = Field(default=1_000, ge=0)

    @field_validator(*_LISTS, mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("package_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        HOSTS.read(list(value))
        return value

    @field_validator("grants", mode="before")
    @classmethod
    def _policy(cls, value: Any) -> Any:
        """A policy may be given as a TOML file with a table `[grants]`; nothing else may stand in it."""
        if not isinstance(value, str | Path):
            return value
        found = tomllib.loads(Path(value).read_text("utf-8"))
        if found.keys() != {"grants"}:
            raise ValueError(f"{value} must hold the table [grants] and nothing else, it holds {', '.join(found)}")
        return found["grants"]

    @field_validator("config", mode="before")
    @classmethod
    def _configuration(cls, value: Any) -> Any:
        """A configuration may be given as a TOML file; its tables are checked when the plugins are known."""
        if not isinstance(value, str | Path):
            return value
        try:
            return tomllib.loads(Path(value).read_text("utf-8"))
        except OSError as error:
            raise ValueError(f"{value} cannot be read: {error.strerror}") from None

    def bus(self) -> BusSettings:
        """The part that the bus needs."""
        tls = None
        if self.tls_ca or self.tls_cert or self.tls_key or self.tls_hostname or self.tls_handshake_first:
            tls = TlsSettings(self.tls_ca, self.tls_cert, self.tls_key, self.tls_hostname, self.tls_handshake_first)
        return BusSettings(
            servers=self.servers,
            name=f"theater-bus host {self.host_id}",
            user=self.user,
            password=None if self.password is None else self.password.get_secret_value(),
            token=None if self.token is None else self.token.get_secret_value(),
            creds_file=self.creds_file,
            nkey_seed_file=self.nkey_seed_file,
            tls=tls,
            inbox_prefix=self.inbox_prefix,
            light_subscriptions=self.light_subscriptions,
        )

    def host_limits(self) -> HostLimits:
        """The most that one actor gets here."""
        return HostLimits(memory_bytes=self.max_memory_bytes, cpu_ms=self.max_cpu_ms, timeout_ms=self.max_timeout_ms)

    def allowed_plugins(self) -> tuple[str, ...] | None:
        """The plugins that may be imported; None for all, which only `dev` mode has."""
        if self.plugins_allow is None and self.mode == "production":
            return ()
        return self.plugins_allow
