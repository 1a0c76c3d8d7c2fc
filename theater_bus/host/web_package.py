"""A package from the web: `https://…#sha256=DIGEST`, fetched from hosts that the operator names, and no other bytes.

Invariants: what comes back has the pinned digest; no host that is not allowed is asked, by a redirect neither; a fetch
ends in time and holds no more than the bound, whatever the other side sends; of that only the digest is ever told.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from time import monotonic
from typing import IO, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from theater_bus.core.grants import HOSTS
from theater_bus.errors import SpawnRefused

__all__ = ["PinnedAddress", "WebPackages", "read_address"]

_ADDRESS: Final = re.compile(r"(https?://[!-~]{1,4000})#sha256=([0-9a-f]{64})")
REDIRECTS: Final = 5
READ_BYTES: Final = 256 * 1024
SILENCE_S: Final = 10.0
"""How long the other side may say nothing."""


@dataclass(frozen=True, slots=True)
class PinnedAddress:
    """An address, and the SHA-256 of what is there."""

    url: str
    digest: bytes


def read_address(reference: str) -> PinnedAddress:
    """The parts of a reference. Raises `SpawnRefused` for one without a digest, and for one with a password in it."""
    found = _ADDRESS.fullmatch(reference)
    if found is None or "#" in found[1]:
        raise SpawnRefused(
            f"{reference[:200]!r} pins no digest, and what an address serves can change. Fix: add `#sha256=` and the "
            "64 hex digits of the module's SHA-256",
            package=reference[:200],
        )
    if "@" in urlsplit(found[1]).netloc:
        raise SpawnRefused(
            "the package's address holds a user or a password, which would be recorded. Fix: leave it out",
            package=found[2],
        )
    return PinnedAddress(found[1], bytes.fromhex(found[2]))


class WebPackages:
    """Fetches packages from `hosts` (names, addresses, `*.suffix`), each within `most_bytes` and `within_s`."""

    def __init__(self, hosts: Sequence[str], *, most_bytes: int, within_s: float) -> None:
        self._allowed = HOSTS.read(list(hosts))
        self._most_bytes = most_bytes
        self._within_s = within_s

    async def fetch(self, address: PinnedAddress) -> bytes:
        """The bytes of this digest. Raises `SpawnRefused`, saying what to do."""
        self._check(address.url)
        try:
            async with asyncio.timeout(self._within_s + SILENCE_S):
                found = await asyncio.to_thread(self._get, address.url)
        except (OSError, HTTPException, ValueError, TimeoutError) as error:
            raise SpawnRefused(f"{address.url} cannot be fetched: {_why(error)}", package=address.url) from error
        digest = hashlib.sha256(found).digest()
        if digest != address.digest:
            raise SpawnRefused(
                f"{address.url} serves other bytes: their SHA-256 is {digest.hex()}. Fix: pin that digest, if these "
                "are the bytes that you mean",
                package=address.url,
            )
        return found

    def _check(self, url: str) -> None:
        host = urlsplit(url).hostname or ""
        if not self._allowed.allows(host):
            raise SpawnRefused(
                f"this host fetches no packages from {host!r}. Fix: start it with --package-hosts {host} "
                "(THEATER_BUS_PACKAGE_HOSTS), or download the module and spawn with --package FILE",
                package=url,
            )

    def _get(self, url: str) -> bytes:
        until = monotonic() + self._within_s
        request = urllib.request.Request(url, headers={"User-Agent": "theater-bus", "Accept": "application/wasm, */*"})
        with _opener(self).open(request, timeout=min(SILENCE_S, self._within_s)) as answer:
            chunks: list[bytes] = []
            left = self._most_bytes
            while chunk := answer.read1(READ_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"it is longer than {self._most_bytes} bytes")
                if monotonic() > until:
                    raise TimeoutError(f"it did not arrive within {self._within_s:g} s")
                chunks.append(chunk)
        return b"".join(chunks)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, to allowed hosts only. The base class and the opener see to the scheme."""

    max_redirections = REDIRECTS

    def __init__(self, packages: WebPackages) -> None:
        self._packages = packages

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self._packages._check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(packages: WebPackages) -> urllib.request.OpenerDirector:
    """Opens http and https, and nothing else (the usual one opens files too)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(packages),
    ):
        opener.add_handler(handler)
    return opener


def _why(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        if 300 <= error.code < 400:
            return "it redirects too often, or to something else than http and https"
        return f"the answer is {error.code}"
    reason = error.reason if isinstance(error, URLError) else error
    return str(reason) or type(reason).__name__
