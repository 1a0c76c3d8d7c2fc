"""Sends checked requests: one connection per request to the address that was checked, redirects, secrets, failures.

Invariants: a secret is resolved for the very host that the request goes to, after all checks, and stays out of every
error; whatever happens, the connection is closed; an answer that is not whole is an error, never a shorter answer.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

import aiohttp

from theater_bus.capability import (
    CapabilityError,
    Context,
    Secret,
    has_handle,
    hide_secrets,
    plain_address,
    with_secrets,
)
from theater_bus_http_client.address import Allows, CheckedResolver, check_address, looks_like_an_address
from theater_bus_http_client.request import REDIRECTS, Bounds, HttpRequest

__all__ = ["Answer", "Transport", "failures"]

_DEFAULTS: Final = (("User-Agent", "theater-bus"), ("Accept", "*/*"), ("Accept-Encoding", "identity"))
_KEYED: Final = frozenset({"POST", "PATCH"})
"""Methods that are not idempotent by themselves (RFC 9110 §9.2.2), so that a key makes a difference."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body has not been read, and the secrets that its request carried."""

    response: aiohttp.ClientResponse
    host: str
    secrets: tuple[Secret, ...]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers in their order, values of secrets hidden."""
        found = self.response.raw_headers
        return [(_text(name), _text(hide_secrets(value, self.secrets))) for name, value in found]

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises `CapabilityError` for one that is larger than `limit`."""
        self.check_size(self.response.content_length or 0, limit, "response_bytes")
        data = bytearray()
        async for chunk in self.response.content.iter_any():
            data += chunk
            self.check_size(len(data), limit, "response_bytes")
        return hide_secrets(bytes(data), self.secrets)

    def check_size(self, size: int, limit: int, grant: str) -> None:
        """Raise `CapabilityError` for a body of more than the grant allows."""
        if size > limit and self.response.method != "HEAD":
            raise CapabilityError(
                f"{self.host} answers with more than the granted http-client.{grant} = {limit}. "
                f"Fix: write a larger `{grant}` under [capabilities.http-client]"
            )


class Transport:
    """The way out of one actor. Made with its first request, ended by `close`."""

    def __init__(self, context: Context, bounds: Bounds, is_granted: Allows, *, redirects: int, keys: bool) -> None:
        self._context = context
        self._bounds = bounds
        self._is_granted = is_granted
        self._redirects = redirects
        self._keys = keys
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: HttpRequest) -> Answer:
        """The beginning of the answer, redirects followed. Raises `CapabilityError`."""
        if self._keys and request.method in _KEYED and not request.has("idempotency-key"):
            keyed = (*request.headers, ("Idempotency-Key", self._context.effect_key))
            request = HttpRequest(request.method, request.url, keyed, request.body)
        for _ in range(self._redirects + 1):
            answer = await self._send_one(request)
            location = answer.response.headers.get("Location")
            if not self._redirects or answer.response.status not in REDIRECTS or location is None:
                return answer
            answer.response.close()
            request = self._bounds.redirected(request, answer.response.status, location)
        raise CapabilityError(
            f"{request.host} redirects more often than the granted http-client.redirects = {self._redirects}"
        )

    async def _send_one(self, request: HttpRequest) -> Answer:
        headers, secrets = await self._headers(request)
        session = await self._opened()
        if looks_like_an_address(request.host):
            check_address(request.host, request.host, request.port, self._is_granted)
        with failures(request.host):
            response = await session.request(
                request.method,
                request.url,
                headers=headers,
                data=request.body,
                allow_redirects=False,
                skip_auto_headers=("Content-Type",),
            )
        return Answer(response, request.host, secrets)

    async def _headers(self, request: HttpRequest) -> tuple[list[tuple[str, str]], tuple[Secret, ...]]:
        headers: list[tuple[str, str]] = [one for one in _DEFAULTS if not request.has(one[0].lower())]
        secrets: list[Secret] = []
        for name, value in request.headers:
            if has_handle(value):
                _check_private_line(request)
                value, used = await with_secrets(self._context, value, request.host)
                _check_printable(used)
                secrets += used
            headers.append((name, value))
        return headers, tuple(secrets)

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            trust = await asyncio.to_thread(_trust, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
            # A connection for each request: it is checked anew, and none is found dead when a POST is half sent.
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(self._is_granted, self._context.actor.id),
                ssl=trust,
                use_dns_cache=False,
                force_close=True,
                limit=0,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
                auto_decompress=False,
                trust_env=False,
                requote_redirect_url=False,
            )
        return self._session

    async def close(self) -> None:
        """End every connection."""
        if self._session is not None:
            await self._session.close()


@contextmanager
def failures(host: str) -> Iterator[None]:
    """Tell what aiohttp raises as a `CapabilityError`. Its own texts may hold what was sent, so none is used."""
    try:
        yield
    except aiohttp.ClientConnectorDNSError as error:
        raise CapabilityError(f"{host} cannot be resolved: {error.strerror or 'unknown name'}") from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        raise CapabilityError(f"TLS with {host} failed, so nothing was sent: {_tls_reason(error)}") from None
    except aiohttp.ClientConnectorError as error:
        raise CapabilityError(f"cannot connect to {host}: {os.strerror(error.errno or errno.EIO)}") from None
    except aiohttp.ServerDisconnectedError:
        raise CapabilityError(f"{host} closed the connection without an answer") from None
    except aiohttp.ClientPayloadError:
        raise CapabilityError(f"{host} broke off in the middle of its answer") from None
    except aiohttp.ClientResponseError:
        raise CapabilityError(f"{host} answered with what is no HTTP") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise CapabilityError(f"the request to {host} failed: {type(error).__name__}") from None


@lru_cache(maxsize=8)
def _trust(file: str | None, directory: str | None) -> ssl.SSLContext:
    """What certificates are verified against: the system's authorities, or what the two variables of OpenSSL name."""
    return ssl.create_default_context()


def _tls_reason(error: aiohttp.ClientError) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    return getattr(cause, "reason", None) or "no agreement"


def _check_private_line(request: HttpRequest) -> None:
    """A secret travels encrypted, or does not leave this machine."""
    address = plain_address(request.host)
    if request.url.scheme != "https" and (address is None or not ip_address(address).is_loopback):
        raise CapabilityError(
            f"a secret would travel unencrypted to {request.host}. Fix: write https:// in the address"
        )


def _check_printable(secrets: tuple[Secret, ...]) -> None:
    for secret in secrets:
        value = secret.reveal()
        if not (value.isascii() and value.isprintable()):
            raise CapabilityError(f"the value of {secret} holds characters that no header can carry")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
