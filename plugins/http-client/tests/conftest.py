"""A real HTTP server of the test's own, with TLS where wanted, and the fixtures that theater_bus offers."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from theater_bus.testing.fixtures import start_harness, start_host, theater_server

__all__ = ["start_harness", "start_host", "theater_server"]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server that answers every request with `answer`, and keeps what it got in `requests` (head and body)."""

    def __init__(self, answer: Answer, scheme: str) -> None:
        self._answer = answer
        self._scheme = scheme
        self.port = 0
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def private(self) -> str:
        """What the grant `private` has to hold for it."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path_qs, headers, await request.read()))
        return await self._answer(request)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def start_site(certificates: Path) -> AsyncIterator[Callable[..., Awaitable[Site]]]:
    """`site = await start_site(answer, tls="server")`: stopped at the test's end."""
    async with AsyncExitStack() as stack:

        async def start(answer: Answer | None = None, tls: str | None = None) -> Site:
            site = Site(answer or echo, "http" if tls is None else "https")
            runner = web.ServerRunner(web.Server(site.serve), shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            context = None
            if tls is not None:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(certificates / f"{tls}.pem", certificates / f"{tls}.key")
            place = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await place.start()
            site.port = runner.addresses[0][1]
            return site

        yield start


@pytest_asyncio.fixture
async def start_raw() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """`port = await start_raw(b"HTTP/1.1 …")`: a server that answers with these bytes and hangs up.

    With `hold` it waits for the other side to hang up; both events tell what happened.
    """
    async with AsyncExitStack() as stack:

        async def start(answer: bytes, hold: asyncio.Event | None = None, arrived: asyncio.Event | None = None) -> int:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                if arrived is not None:
                    arrived.set()
                writer.write(answer)
                if hold is not None:
                    await reader.read()
                    hold.set()
                writer.close()

            server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
            return int(server.sockets[0].getsockname()[1])

        yield start


async def echo(request: web.Request) -> web.StreamResponse:
    """What arrived, as text: the line and the headers."""
    lines = [f"{request.method} {request.path_qs}", *(f"{n}: {v}" for n, v in request.headers.items())]
    return web.Response(text="\n".join(lines), headers={"X-Site": "echo"})


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority (`ca.pem`), and certificates for `server` (127.0.0.1, localhost) and `else` (else.test)."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-x509", *new, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", *extensions)
    for name, alternative in (("server", "IP:127.0.0.1,DNS:localhost"), ("else", "DNS:else.test")):
        (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return folder


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """`ask("GET", url, headers=[("A", "b")], body=b"")`: a request as a guest gives it."""

    def request(
        method: str, uri: str, headers: list[tuple[str, str]] | None = None, body: bytes | None = None
    ) -> dict[str, Any]:
        return {"method": method, "uri": uri, "headers": headers or [], "body": body}

    return request
