"""What a guest may ask for, checked before anything is resolved or sent: method, address, headers, size."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from yarl import URL

from theater_bus.capability import HOSTS, CapabilityError, has_handle

__all__ = ["Bounds", "HttpRequest", "origin"]

MAX_URI: Final = 8_192
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 65_536
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
)
"""Headers that say how the message itself travels; a guest that set them could smuggle a second one."""
_PERSONAL: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_NEVER: Final = frozenset({"CONNECT", "TRACE"})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request that may be sent. `headers` may still hold handles of secrets."""

    method: str
    url: URL
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    @property
    def host(self) -> str:
        """The host, as grants name it."""
        return self.url.raw_host or ""

    @property
    def port(self) -> int:
        """The port."""
        return self.url.port or 0

    def has(self, name: str) -> bool:
        """Whether the request has this header, given in lower case."""
        return any(one.lower() == name for one, _ in self.headers)


class Bounds:
    """The grants that requests are held to: `methods`, `hosts` and `request_bytes`."""

    def __init__(self, methods: Sequence[str], hosts: Sequence[str], request_bytes: int) -> None:
        self._methods = frozenset(methods)
        self._hosts = HOSTS.read(list(hosts))
        self._request_bytes = request_bytes

    def request(self, given: Mapping[str, Any]) -> HttpRequest:
        """The request that a guest gives. Raises `CapabilityError` naming the fault, or the grant to add."""
        body = given["body"]
        if body is not None and len(body) > self._request_bytes:
            raise CapabilityError(
                f"the request has {len(body)} bytes, more than the granted http-client.request_bytes = "
                f"{self._request_bytes}. Fix: write `request_bytes = {len(body)}` under [capabilities.http-client]"
            )
        request = HttpRequest(_method(given["method"]), _url(given["uri"]), _headers(given["headers"]), body)
        self.check(request)
        return request

    def check(self, request: HttpRequest) -> None:
        """Raise `CapabilityError` for a method or a host that is not granted."""
        if request.method not in self._methods:
            raise _missing("methods", request.method)
        if not self._hosts.allows(request.host):
            raise _missing("hosts", request.host)

    def redirected(self, request: HttpRequest, status: int, location: str) -> HttpRequest:
        """The request that follows a redirect, checked like the first (Fetch standard, "HTTP-redirect fetch").

        What is personal, and every header with a secret, stays with its scheme, host and port.

        Raises `CapabilityError`.
        """
        try:
            target = request.url.join(URL(location, encoded=location.isascii()))
        except ValueError:
            raise CapabilityError(f"{request.host} redirects to {location!r:.200}, which is no address") from None
        target = _url(str(target))
        if request.url.scheme == "https" and target.scheme == "http":
            raise CapabilityError(f"{request.host} redirects from https to {target.scheme}://{target.raw_host}")
        headers = request.headers
        if origin(target) != origin(request.url):
            headers = tuple((n, v) for n, v in headers if n.lower() not in _PERSONAL and not has_handle(v))
        following = replace(request, url=target, headers=headers)
        if (status == 303 and request.method != "HEAD") or (status in (301, 302) and request.method == "POST"):
            kept = tuple((n, v) for n, v in headers if not n.lower().startswith("content-"))
            following = replace(following, method="GET", body=None, headers=kept)
        self.check(following)
        return following


def origin(url: URL) -> tuple[str, str | None, int | None]:
    """What belongs together: scheme, host and port."""
    return url.scheme, url.raw_host, url.port


def _missing(grant: str, value: str) -> CapabilityError:
    return CapabilityError(
        f'the grant http-client.{grant} does not hold {value!r:.300}. Fix: add "{value:.260}" to `{grant}` under '
        "[capabilities.http-client] in the actor's manifest; its parent and the host must allow as much"
    )


def _method(text: str) -> str:
    method = text.upper()
    if not _TOKEN.fullmatch(method) or method in _NEVER:
        raise CapabilityError(f"{text!r:.80} is no method for a request. Fix: write one such as GET or POST")
    return method


def _url(text: str) -> URL:
    if len(text) > MAX_URI or re.search(r"[\x00-\x20\x7f\\]", text):
        raise CapabilityError(
            f"{text!r:.200} is no address: it has more than {MAX_URI} characters, or one that must be written %XX"
        )
    try:
        url = _as_written(text)
        is_whole = url.scheme in ("http", "https") and bool(url.raw_host) and bool(url.port)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise CapabilityError(f"{text!r:.200} is no address. Fix: write http://HOST/… or https://HOST/…")
    if url.raw_user is not None or url.raw_password is not None:
        raise CapabilityError("an address holds no user and no password. Fix: send the header Authorization")
    return url.with_fragment(None)


def _as_written(text: str) -> URL:
    """The address with its host in lower case and ASCII; path and query byte by byte, which signatures depend on."""
    url = URL(text)
    if not text.isascii():
        return url
    raw = URL(text, encoded=True)
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=raw.raw_path,
        query_string=raw.raw_query_string,
        encoded=True,
    )


def _headers(given: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    if len(given) > MAX_HEADERS or sum(len(n) + len(v) for n, v in given) > MAX_HEADER_BYTES:
        raise CapabilityError(f"the headers are more than {MAX_HEADERS}, or than {MAX_HEADER_BYTES} characters")
    for name, value in given:
        if not _TOKEN.fullmatch(name):
            raise CapabilityError(f"{name!r:.80} is no name of a header")
        if not _VALUE.fullmatch(value):
            raise CapabilityError(f"the value of header {name} holds a line end or another control character")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise CapabilityError(f"the header {name} is set by the host. Fix: leave it out")
    return tuple((name, value) for name, value in given)
