"""Packages from the web: pinned by digest, from allowed hosts only, bounded, asked for no more often than needed."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import ValidationError

from theater_bus import HostSettings
from theater_bus.errors import SpawnRefused
from theater_bus.host.package_source import PackageSource
from theater_bus.host.web_package import PinnedAddress, WebPackages, read_address
from theater_bus.testing import guest

COUNTER = guest("counter")
DIGEST = hashlib.sha256(COUNTER.wasm).hexdigest()
OTHER = "0" * 64
MANIFEST = 'name = "c"\ninitial_state = 3\npackage = "{}"\n'


@pytest.fixture
def kind() -> str:
    """A package is bytes until it is loaded."""
    return "module"


class Web:
    """A server on 127.0.0.1: `pages` answer by path, `asked` keeps the paths in order."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.ended = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                page = web.pages.get(self.path)
                if page is None:
                    self.send_error(404, "not the secret of this page")
                else:
                    page(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, path: str, data: bytes, claimed: int | None = None) -> str:
        """Answer a path with these bytes, and their number as it is claimed."""

        def page(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            if claimed != -1:
                handler.send_header("Content-Length", str(len(data) if claimed is None else claimed))
            handler.end_headers()
            handler.wfile.write(data)

        self.pages[path] = page
        return self.url + path

    def redirect(self, path: str, target: str) -> str:
        """Answer a path with a redirect."""

        def page(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(302)
            handler.send_header("Location", target)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.pages[path] = page
        return self.url + path

    def stall(self, path: str) -> str:
        """Begin an answer and never end it."""

        def page(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b"\0asm")
            handler.wfile.flush()
            self.ended.wait(60)

        self.pages[path] = page
        return self.url + path


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def pinned(url: str, digest: str = DIGEST) -> str:
    return f"{url}#sha256={digest}"


def packages(**bounds: Any) -> WebPackages:
    return WebPackages(["127.0.0.1"], **{"most_bytes": 1 << 20, "within_s": 30.0} | bounds)


async def test_a_package_is_fetched_once_and_spawned_by_its_address(start_host: Any, web: Web) -> None:
    host = await start_host(package_hosts=("127.0.0.1",))
    url = web.serve("/counter.wasm", COUNTER.wasm)
    actors = [await host.theater.spawn(MANIFEST.format(pinned(url))) for _ in range(3)]
    assert await actors[0].call_function("increment", [4]) == 7
    assert web.asked == ["/counter.wasm"]


async def test_nobody_is_asked_for_what_is_in_the_object_store_already(start_host: Any, web: Web) -> None:
    host = await start_host()
    await host.theater.spawn(COUNTER.manifest_text, package=COUNTER.wasm)
    actor = await host.theater.spawn(MANIFEST.format(pinned("https://never.asked.example/counter.wasm")))
    assert await actor.call_function("increment", [4]) == 7


async def test_spawns_at_once_share_one_fetch(web: Web) -> None:
    source = PackageSource(None, {}, None, ["127.0.0.1"])
    reference = pinned(web.serve("/counter.wasm", COUNTER.wasm))
    found = await asyncio.gather(*(source.by_reference(reference) for _ in range(20)))
    assert set(found) == {COUNTER.wasm}
    assert web.asked == ["/counter.wasm"]


async def test_no_host_is_asked_unless_it_is_allowed(start_host: Any, web: Web) -> None:
    url = web.serve("/counter.wasm", COUNTER.wasm)
    for allowed in ((), ("example.com", "*.0.0.1.example")):
        host = await start_host(package_hosts=allowed)
        with pytest.raises(SpawnRefused, match=r"no packages from '127\.0\.0\.1'\. Fix: start it with --package-hosts"):
            await host.theater.spawn(MANIFEST.format(pinned(url)))
        assert await host.theater.actors() == []
    assert web.asked == []


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.com/a.wasm",
        "https://example.com/a.wasm#sha256=",
        "https://example.com/a.wasm#sha256=" + "A" * 64,
        "https://example.com/a.wasm#md5=" + "0" * 64,
        "https://example.com/a wasm#sha256=" + OTHER,
        "http://#sha256=" + OTHER,
    ],
)
async def test_an_address_without_its_digest_is_refused_before_anything_is_sent(
    start_host: Any, reference: str
) -> None:
    host = await start_host(package_hosts=("example.com",))
    with pytest.raises(
        SpawnRefused, match=r"package is 'https?://.*, not a path, `sha256:` and 64|fetches no packages"
    ):
        await host.theater.spawn(MANIFEST.format(reference))


def test_a_reference_that_no_manifest_was_read_for_pins_its_digest_too() -> None:
    assert read_address(pinned("https://a.example/b?c=d")) == PinnedAddress(
        "https://a.example/b?c=d", bytes.fromhex(DIGEST)
    )
    for reference in ("https://a.example/b", f"https://a.example/b#x#sha256={OTHER}", f"ftp://a/b#sha256={OTHER}"):
        with pytest.raises(SpawnRefused, match="Fix: add `#sha256=`"):
            read_address(reference)
    with pytest.raises(SpawnRefused, match="holds a user or a password") as caught:
        read_address(pinned("https://me:hunter2@a.example/b"))
    assert "hunter2" not in f"{caught.value}{caught.value.details}"


async def test_other_bytes_are_refused_and_told_by_their_digest_only(web: Web) -> None:
    address = read_address(pinned(web.serve("/a", b"the secret of another service"), OTHER))
    with pytest.raises(SpawnRefused, match=r"serves other bytes: their SHA-256 is") as caught:
        await packages().fetch(address)
    assert hashlib.sha256(b"the secret of another service").hexdigest() in caught.value.message
    assert "the secret" not in f"{caught.value}{caught.value.details}"


async def test_an_error_page_is_told_by_its_number_only(web: Web) -> None:
    with pytest.raises(SpawnRefused, match="cannot be fetched: the answer is 404") as caught:
        await packages().fetch(read_address(pinned(web.url + "/nothing")))
    assert "secret" not in f"{caught.value}{caught.value.details}"


@pytest.mark.parametrize("claimed", [None, 10, -1])
async def test_size_is_bounded_whatever_is_claimed(web: Web, claimed: int | None) -> None:
    url = web.serve("/a", bytes(100_000), claimed)
    with pytest.raises(SpawnRefused, match=r"longer than 1000 bytes|serves other bytes"):
        await packages(most_bytes=1000).fetch(read_address(pinned(url)))


async def test_an_answer_that_breaks_off_is_refused(web: Web) -> None:
    url = web.serve("/a", COUNTER.wasm[:100], len(COUNTER.wasm))
    with pytest.raises(SpawnRefused, match=r"serves other bytes|cannot be fetched"):
        await packages().fetch(read_address(pinned(url)))


async def test_time_is_bounded(web: Web) -> None:
    with pytest.raises(SpawnRefused, match=r"cannot be fetched: .*timed out"):
        await packages(within_s=0.2).fetch(read_address(pinned(web.stall("/a"))))


async def test_a_host_that_is_not_there_is_refused_with_the_reason(web: Web) -> None:
    web.server.server_close()
    with pytest.raises(SpawnRefused, match="cannot be fetched: "):
        await packages().fetch(read_address(pinned("http://127.0.0.1:1/a")))


async def test_a_redirect_to_an_allowed_host_is_followed_and_the_digest_still_holds(web: Web) -> None:
    url = web.redirect("/a", web.redirect("/b", web.serve("/c", COUNTER.wasm)))
    assert await packages().fetch(read_address(pinned(url))) == COUNTER.wasm
    with pytest.raises(SpawnRefused, match="serves other bytes"):
        await packages().fetch(read_address(pinned(url, OTHER)))


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://localhost:1/secret", "fetches no packages from 'localhost'"),
        ("http://169.254.169.254/latest/meta-data", "fetches no packages from '169.254.169.254'"),
        ("file:///etc/passwd", "to something else than http"),
        ("ftp://127.0.0.1/a", "cannot be fetched"),
        ("/a", "it redirects too often"),
    ],
)
async def test_a_redirect_to_elsewhere_is_not_followed(web: Web, target: str, why: str) -> None:
    url = web.redirect("/a", target)
    with pytest.raises(SpawnRefused, match=why):
        await packages().fetch(read_address(pinned(url)))
    assert set(web.asked) == {"/a"}


def test_hosts_are_read_strictly() -> None:
    assert HostSettings(package_hosts="a.example, *.b.example").package_hosts == ("a.example", "*.b.example")  # type: ignore[arg-type]
    for wrong in ("https://a.example", "a.example:80", "a b", "*"):
        with pytest.raises(ValidationError, match="is no host"):
            HostSettings(package_hosts=(wrong,))
