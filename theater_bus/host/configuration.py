"""What an operator configures for actors: values, secrets with the hosts that they may go to, tables for capabilities.

    [values]
    region = "eu-west-1"

    [secrets.api-key]
    file = "/run/secrets/api-key"        # or env = "API_KEY"; read whenever it is needed
    hosts = ["api.example.com"]          # where it may go; nowhere without it

    [capabilities.llm.endpoints.main]    # what a capability declares as its HostSettings

Invariants: no value of a secret stands in the file, in an error, in a log or in a `repr`; a secret leaves only for a
host that both the operator and the actor's grants name; an unknown key is refused.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from theater_bus.capability import CapabilityError, Secret, SecretRefused, secret_name
from theater_bus.capability.secret import PREFIX
from theater_bus.core.grants import HOSTS, NOTHING, SECRETS, Bound, Grants, Patterns
from theater_bus.core.setting import Plain
from theater_bus.errors import ConfigurationError

if TYPE_CHECKING:
    from theater_bus.plugins import CapabilityType

__all__ = ["ActorConfiguration", "HostConfiguration"]

CAPABILITY: Final = "config"
"""The capability whose grants say which values and secrets an actor may use."""
MAX_SECRET_BYTES: Final = 65_536


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    file: Path | None = None
    env: str | None = None
    hosts: tuple[str, ...] = ()
    reveal: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    values: dict[str, str | int | float | bool] = Field(default_factory=dict)
    secrets: dict[str, _Source] = Field(default_factory=dict)
    capabilities: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostConfiguration:
    """The file, read and checked. `own` holds each capability's `HostSettings` by the capability's name."""

    values: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, _Source] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Mapping[str, Any] | None, capabilities: Mapping[str, CapabilityType]) -> Self:
        """The configuration in these tables. Raises `ConfigurationError` naming what is wrong, never a value."""
        try:
            found = _File.model_validate(dict(given or {}))
        except ValidationError as error:
            raise _wrong(
                "config", error, "values are texts, numbers or bools; a secret has file or env, hosts, reveal"
            ) from None
        for name, source in found.secrets.items():
            _check_source(name, source)
        for name in found.capabilities:
            if name not in capabilities or capabilities[name].cls.HostSettings is None:
                raise ConfigurationError(
                    f"config.capabilities.{name}", "no capability of this host takes settings from it", "remove it"
                )
        own = {name: _own(one, found.capabilities.get(name, {})) for name, one in capabilities.items()}
        return cls({name: _text(value) for name, value in found.values.items()}, found.secrets, own)

    async def check(self) -> None:
        """Raise `ConfigurationError` for a secret that cannot be read now: better at the start than in an operation."""
        for name, source in self.sources.items():
            try:
                await _read(source)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                where = source.file or f"variable {source.env}"
                raise ConfigurationError(
                    f"config.secrets.{name}", f"{where}: {reason}", "put the value there, readable for this user"
                ) from None

    async def secret(self, name: str, destination: str) -> Secret:
        """The secret, for a host that the operator lets it go to. Raises `SecretRefused`."""
        source = self._source(name)
        if not HOSTS.read(source.hosts).allows(destination):
            raise SecretRefused(
                f"the host's operator does not let secret {name!r} go to {destination!r:.80}. "
                f"Fix: name it in hosts of [secrets.{name}] in the host's configuration"
            )
        return Secret(f"{PREFIX}{name}", await self._value(name, source))

    async def revealed(self, name: str) -> str:
        """The value, where the operator lets guests see it. Raises `SecretRefused`."""
        source = self._source(name)
        if not source.reveal:
            raise SecretRefused(
                f"the host's operator does not let guests see secret {name!r}. "
                f"Fix: pass its handle, or set reveal in [secrets.{name}] in the host's configuration"
            )
        return await self._value(name, source)

    def _source(self, name: str) -> _Source:
        source = self.sources.get(name)
        if source is None:
            raise SecretRefused(
                f"this host has no secret {name!r}. Fix: add [secrets.{name}] to the host's configuration"
            )
        return source

    async def _value(self, name: str, source: _Source) -> str:
        try:
            return await _read(source)
        except (OSError, ValueError):
            raise SecretRefused(
                f"the value of secret {name!r} cannot be read now. Fix: look after its file or variable on the host"
            ) from None


class ActorConfiguration:
    """A host's configuration as one capability of one actor may use it."""

    __slots__ = ("_capability", "_grants", "_host")

    def __init__(self, host: HostConfiguration, grants: Grants, capability: str) -> None:
        self._host = host
        self._grants = grants
        self._capability = capability

    @property
    def own(self) -> Any:
        """What the operator has set for this capability."""
        return self._host.own.get(self._capability)

    def value(self, name: str) -> str:
        """The value of this name. Raises `CapabilityError`."""
        if not self._bound("values").allows(name):
            raise CapabilityError(
                f"the grant config.values does not name {name!r:.80}. Fix: add it to `values` under "
                "[capabilities.config] in the actor's manifest; its parent and the host must allow as much"
            )
        value = self._host.values.get(name)
        if value is None:
            raise CapabilityError(f"this host has no value {name!r}. Fix: add it to [values] in its configuration")
        return value

    def values(self) -> list[str]:
        """The names that `value` answers, sorted."""
        bound = self._bound("values")
        return sorted(name for name in self._host.values if bound.allows(name))

    def secrets(self) -> list[str]:
        """The names of the secrets that the actor may hold, sorted."""
        bound = self._bound("secrets")
        return sorted({pattern[0] for pattern in bound.patterns} if isinstance(bound, Patterns) else ())

    def handle(self, name: str) -> str:
        """The handle of a secret that the actor may hold. Raises `SecretRefused`."""
        if name not in self.secrets():
            raise SecretRefused(
                f'the grant config.secrets does not name {name!r:.80}. Fix: add "NAME@HOST" to `secrets` under '
                "[capabilities.config] in the actor's manifest; its parent and the host must allow as much"
            )
        return f"{PREFIX}{name}"

    async def reveal(self, name: str) -> str:
        """The value of a secret, for the guest. Raises `SecretRefused`."""
        self.handle(name)
        if not self._bound("reveal").allows(True):
            raise SecretRefused(
                f"the grant config.reveal does not let this actor see secret {name!r}. Fix: pass its handle, or write "
                "`reveal = true` under [capabilities.config]; its value may then stand in chain, state and logs"
            )
        return await self._host.revealed(name)

    async def secret(self, handle: str, destination: str) -> Secret:
        """The secret behind a guest's handle, for a destination that all sides grant. Raises `SecretRefused`."""
        name = secret_name(handle)
        self.handle(name)
        if not self._bound("secrets").allows(f"{name}@{destination}"):
            raise SecretRefused(
                f"the grant config.secrets does not let secret {name!r} go to {destination!r:.80}. Fix: add "
                f'"{name}@{destination:.80}" to `secrets` under [capabilities.config] in the actor\'s manifest; its '
                "parent and the host must allow as much"
            )
        return await self._host.secret(name, destination)

    async def own_secret(self, handle: str, destination: str) -> Secret:
        """The secret that the operator's table of this capability names. Raises `SecretRefused`."""
        return await self._host.secret(secret_name(handle), destination)

    def _bound(self, setting: str) -> Bound:
        grant = self._grants.of(CAPABILITY)
        return NOTHING if grant is None else grant.bound(setting)


def _check_source(name: str, source: _Source) -> None:
    place = f"config.secrets.{name}"
    try:
        SECRETS.read([name])
        HOSTS.read(source.hosts)
    except ValueError as error:
        raise ConfigurationError(place, str(error)) from None
    if (source.file is None) == (source.env is None):
        raise ConfigurationError(place, "exactly one of file and env says where it is", "write one of them")


def _own(capability: CapabilityType, table: Mapping[str, Plain]) -> Any:
    model = capability.cls.HostSettings
    if model is None:
        return None
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        raise _wrong(
            f"config.capabilities.{capability.name}", error, f"it takes {', '.join(model.model_fields)}"
        ) from None


def _wrong(place: str, error: ValidationError, fix: str) -> ConfigurationError:
    """What pydantic found, without what it found it in: that may be a secret in the wrong place."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    parts = [place, *(str(part) for part in first["loc"] if str(part) not in ("str", "int", "float", "bool"))]
    problem = "is no setting" if first["type"] == "extra_forbidden" else first["msg"]
    return ConfigurationError(".".join(parts), problem, fix)


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _read(source: _Source) -> str:
    """The value, without a line end. Raises `OSError`, or `ValueError` that says what is wrong with it."""
    if source.file is not None:
        text = await asyncio.to_thread(_read_file, source.file)
    else:
        found = os.environ.get(source.env or "")
        if found is None:
            raise ValueError("is not set")
        text = found
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or "\0" in text:
        raise ValueError("is empty, or holds a NUL")
    return text


def _read_file(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_SECRET_BYTES + 1)
    if len(data) > MAX_SECRET_BYTES:
        raise ValueError(f"holds more than {MAX_SECRET_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text") from None
