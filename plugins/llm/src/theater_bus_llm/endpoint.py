"""What the operator of a host says about endpoints, and the way to one: requests with its key, answers and streams.

    [capabilities.llm.endpoints.main]
    url = "https://api.openai.com/v1"
    key = "secret:openai-key"
    [capabilities.llm.endpoints.main.models."gpt-4o-mini"]
    input = 0.15
    output = 0.60

Invariants: the key is resolved for the endpoint's own host and shown nowhere; redirects are not followed; no text of
the HTTP library reaches a guest.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal, Self

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from yarl import URL

from theater_bus.capability import CapabilityError, Context, Secret, hide_secrets, secret_name

__all__ = ["Endpoint", "EndpointClient", "HostSettings", "NotAsked", "Price"]

ANSWER_BYTES: Final = 4 << 20
MESSAGE_CHARACTERS: Final = 300

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class NotAsked(CapabilityError):
    """The endpoint was not reached, or refused the request: nothing was spent."""


class Price(BaseModel):
    """What a million tokens cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    output: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)


class Endpoint(BaseModel):
    """One endpoint. Without `models` it is asked for whatever a grant names, at no price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    key: str | None = None
    models: dict[str, Price] = Field(default_factory=dict)
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        found = URL(url)
        if found.scheme not in ("http", "https") or not found.raw_host or found.raw_user or found.raw_query_string:
            raise ValueError("must be http:// or https:// with a host, and without user and query")
        return url.rstrip("/")

    @field_validator("key")
    @classmethod
    def _is_a_handle(cls, key: str | None) -> str | None:
        if key is not None:
            try:
                secret_name(key)
            except CapabilityError:
                raise ValueError('must be a handle, "secret:NAME"; the value belongs into [secrets.NAME]') from None
        return key

    @model_validator(mode="after")
    def _keeps_its_key(self) -> Self:
        if self.key is not None and URL(self.url).scheme == "http" and not _is_this_machine(self.host):
            raise ValueError("the key would travel unencrypted: write https://")
        return self

    @property
    def host(self) -> str:
        """The host that the key goes to."""
        return URL(self.url).raw_host or ""

    def price(self, model: str) -> Price | None:
        """What the model costs; None for one that the endpoint does not list."""
        return self.models.get(model) if self.models else Price()


class HostSettings(BaseModel):
    """`[capabilities.llm]` in the host's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoints: dict[_Name, Endpoint] = Field(default_factory=dict)


class EndpointClient:
    """The way to the endpoints, for one actor. Made with the first request, ended by `close`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def key_of(self, endpoint: Endpoint) -> Secret | None:
        """The key that the endpoint is asked with. Raises `SecretRefused`."""
        if endpoint.key is None:
            return None
        return await self._context.configuration.own_secret(endpoint.key, endpoint.host)

    async def ask(self, name: str, endpoint: Endpoint, key: Secret | None, body: Mapping[str, Any]) -> Any:
        """The answer to a chat request, as JSON. Raises `CapabilityError`."""
        async with self._posted(name, endpoint, key, body) as (response, secrets):
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                _check_size(name, len(data))
            return _json(name, hide_secrets(bytes(data), secrets))

    async def stream(
        self, name: str, endpoint: Endpoint, key: Secret | None, body: Mapping[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The events of a streamed answer, as JSON (server-sent events, up to `[DONE]`). Raises `CapabilityError`."""
        async with self._posted(name, endpoint, key, body) as (response, secrets):
            size, held = 0, b""
            async for chunk in response.content.iter_any():
                size += len(chunk)
                _check_size(name, size)
                *lines, held = (held + chunk).split(b"\n")
                for line in lines:
                    data = line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
                    if data == b"[DONE]":
                        return
                    if data:
                        yield _json(name, hide_secrets(data, secrets))
        raise CapabilityError(f"endpoint {name!r} broke off in the middle of its answer")

    async def close(self) -> None:
        """End every connection."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _posted(
        self, name: str, endpoint: Endpoint, key: Secret | None, body: Mapping[str, Any]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, tuple[Secret, ...]]]:
        headers = {"Idempotency-Key": self._context.effect_key}
        secrets = () if key is None else (key,)
        for secret in secrets:
            headers["Authorization"] = f"Bearer {_printable(secret)}"
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
            connector = aiohttp.TCPConnector(force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        try:
            async with self._session.post(
                f"{endpoint.url}/chat/completions", json=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    said = hide_secrets(await response.content.read(65_536), secrets)
                    raise NotAsked(f"endpoint {name!r} answered {response.status}: {_reason(said)}")
                yield response, secrets
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError):
            raise NotAsked(f"TLS with endpoint {name!r} failed, so nothing was sent") from None
        except aiohttp.ClientConnectorError:
            raise NotAsked(f"endpoint {name!r} cannot be reached") from None
        except (aiohttp.ClientError, OSError) as error:
            raise CapabilityError(f"the request to endpoint {name!r} failed: {type(error).__name__}") from None


def _printable(secret: Secret) -> str:
    value = secret.reveal()
    if not (value.isascii() and value.isprintable()):
        raise CapabilityError(f"the value of {secret} holds characters that no header can carry")
    return value


def _check_size(name: str, size: int) -> None:
    if size > ANSWER_BYTES:
        raise CapabilityError(f"endpoint {name!r} answers with more than {ANSWER_BYTES} bytes")


def _json(name: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise CapabilityError(f"endpoint {name!r} answered with what is no JSON") from None


def _reason(said: bytes) -> str:
    """What an endpoint says about an error, in its own words if it follows the protocol."""
    try:
        found = json.loads(said)
        text = str(found["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = said.decode("utf-8", "replace")
    return " ".join(text.split())[:MESSAGE_CHARACTERS] or "without a reason"


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
