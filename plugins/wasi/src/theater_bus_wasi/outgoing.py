"""`wasi:http/outgoing-handler`: requests to elsewhere, made by the actor's capability `http-client` within its grants.

Invariants: nothing leaves without that capability, nor beyond what it allows; a request leaves once its body is
finished, within the call that finishes it, which waits for the beginning of the answer; the body of an answer is read
piece by piece, and ends with its operation.
Source: WASI 0.2 `wasi:http/types`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

from theater_bus.capability import CapabilityError
from theater_bus_wasi.message import Body, Entry, Fields, OutgoingBody, method_of, scheme_of
from theater_bus_wasi.streams import MOST, InputStream
from theater_bus_wasi.table import Group, Pollable, named

__all__ = ["Outgoing"]

CLIENT = "http-client"
DENIED = "HTTP-request-denied"
NEW = "wasi:http/types.[constructor]"
REQUEST = "wasi:http/types.[method]outgoing-request."
OPTIONS = "wasi:http/types.[method]request-options."
RESPONSE = "wasi:http/types.[method]incoming-response."
FUTURE = "wasi:http/types.[method]future-incoming-response."


class Client(Protocol):
    """`theater:bus/http-client`."""

    async def open(self, request: dict[str, Any]) -> dict[str, Any]: ...

    async def read(self, stream: int, max_bytes: int) -> bytes | None: ...

    async def close(self, stream: int) -> None: ...


class OutgoingRequest:
    """A request being made."""

    def __init__(self, fields: Fields) -> None:
        self.method: Any = "get"
        self.path: str | None = None
        self.scheme: Any = None
        self.authority: str | None = None
        self.fields = fields
        self.body: OutgoingBody | None = None

    def plain(self) -> dict[str, Any]:
        """What `http-client` is asked for. Raises `CapabilityError` where body and content-length do not agree."""
        scheme = "HTTPS" if self.scheme is None else self.scheme
        name = scheme if isinstance(scheme, str) else scheme["other"]
        method = self.method if isinstance(self.method, str) else self.method["other"]
        content = b"" if self.body is None else bytes(self.body.data)
        if any(key == "content-length" and value != b"%d" % len(content) for key, value in self.fields.entries):
            raise CapabilityError(f"the body has {len(content)} bytes, and content-length says another number")
        return {
            "method": method.upper() if isinstance(self.method, str) else method,
            "uri": f"{name.lower()}://{self.authority or ''}{self.path or '/'}",
            "headers": [[key, _text(value)] for key, value in self.fields.entries if key != "content-length"],
            "body": content or None,
        }


class Options:
    """How long to wait, in nanoseconds. `http-client` has a bound of its own, which holds in any case."""

    def __init__(self) -> None:
        self.waits: dict[str, int | None] = {}


class IncomingResponse:
    """The beginning of an answer."""

    def __init__(self, status: int, fields: list[Entry], source: InputStream) -> None:
        self.status = status
        self.fields = fields
        self.body: Body | None = Body(source, None)


class FutureResponse:
    """What becomes of a request: nothing before its body is finished, then an answer or an error, given out once."""

    def __init__(self, request: OutgoingRequest) -> None:
        self.request = request
        self.outcome: IncomingResponse | Any = None
        self.done = asyncio.Event()
        self.taken = False


class Answer(InputStream):
    """The body of an answer. A piece that is asked for goes on arriving when whoever waits for it gives up."""

    def __init__(self, client: Client, stream: int) -> None:
        self._client, self._stream = client, stream
        self._piece: asyncio.Task[bytes | None] | None = None
        self._held: bytes | None = b""

    def read(self, most: int) -> bytes | None:
        """What has arrived. Raises `OSError` for an answer that broke off."""
        if self._held == b"" and self._piece is not None and self._piece.done():
            try:
                self._held = self._piece.result()
            except CapabilityError as error:
                raise OSError(str(error)) from error
            finally:
                self._piece = None
        if self._held is None:
            return None
        given, self._held = self._held[:most], self._held[most:]
        return given

    def pollable(self) -> Pollable:
        """Ready when something has arrived, or the end."""
        return Pollable(self._is_ready, self._wait)

    def close(self) -> None:
        """Read no more of it."""
        if self._piece is not None:
            self._piece.cancel()

    def _is_ready(self) -> bool:
        return self._held != b"" or (self._piece is not None and self._piece.done())

    async def _wait(self) -> None:
        if self._is_ready():
            return
        if self._piece is None:
            self._piece = asyncio.ensure_future(self._client.read(self._stream, MOST))
        await asyncio.wait([self._piece])


class Outgoing(Group):
    """`wasi:http/outgoing-handler`, and what of `wasi:http/types` belongs to it."""

    def __init__(self, wasi: Any) -> None:
        super().__init__(wasi)
        self._unfinished: dict[OutgoingBody, FutureResponse] = {}

    def renewed(self) -> None:
        """The guest is a fresh one."""
        self._unfinished.clear()

    @named("wasi:http/outgoing-handler.handle")
    async def handle(self, request: int, options: int | None) -> int:
        found = self.table.take(request, OutgoingRequest)
        if options is not None:
            self.table.take(options, Options)
        if self._client() is None:
            raise CapabilityError(DENIED)
        future = FutureResponse(found)
        number = self.table.put(future)
        if found.body is None or found.body.finished:
            await self._send(future)
        else:
            self._unfinished[found.body] = future
        return number

    async def finished(self, body: OutgoingBody) -> None:
        """A guest has finished a body; if it is that of a request, that leaves now."""
        future = self._unfinished.pop(body, None)
        if future is not None:
            await self._send(future)

    async def _send(self, future: FutureResponse) -> None:
        client = self._client()
        assert client is not None
        try:
            found = await client.open(future.request.plain())
        except CapabilityError as error:
            text = str(error)
            future.outcome = DENIED if text.startswith("the grant ") else {"internal-error": text}
        else:
            fields = [(name.lower(), value.encode()) for name, value in found["headers"]]
            future.outcome = IncomingResponse(found["status"], fields, Answer(client, found["stream"]))
        future.done.set()

    def _client(self) -> Client | None:
        return cast("Client | None", self.wasi.context.capability(CLIENT))

    # -- the request -------------------------------------------------------------------------------------------------

    @named(NEW + "outgoing-request")
    def outgoing_request(self, headers: int) -> int:
        fields = self.table.take(headers, Fields)
        return self.table.put(OutgoingRequest(Fields(fields.entries, mutable=False)))

    @named(REQUEST + "body")
    def body(self, number: int) -> int:
        request = self.table.get(number, OutgoingRequest)
        if request.body is not None:
            raise CapabilityError(None)
        request.body = OutgoingBody(self.settings.http_body_bytes)
        return self.table.put(request.body)

    @named(REQUEST + "method")
    def method(self, number: int) -> Any:
        return self.table.get(number, OutgoingRequest).method

    @named(REQUEST + "set-method")
    def set_method(self, number: int, method: Any) -> None:
        request = self.table.get(number, OutgoingRequest)
        try:
            request.method = method if isinstance(method, str) else method_of(method["other"])
        except CapabilityError as error:
            raise CapabilityError(None) from error

    @named(REQUEST + "path-with-query")
    def path_with_query(self, number: int) -> str | None:
        return self.table.get(number, OutgoingRequest).path

    @named(REQUEST + "set-path-with-query")
    def set_path_with_query(self, number: int, path: str | None) -> None:
        if path is not None and not path.startswith(("/", "?")):
            raise CapabilityError(None)
        self.table.get(number, OutgoingRequest).path = path if path is None or path.startswith("/") else f"/{path}"

    @named(REQUEST + "scheme")
    def scheme(self, number: int) -> Any:
        return self.table.get(number, OutgoingRequest).scheme

    @named(REQUEST + "set-scheme")
    def set_scheme(self, number: int, scheme: Any) -> None:
        request = self.table.get(number, OutgoingRequest)
        try:
            request.scheme = scheme if scheme is None or isinstance(scheme, str) else scheme_of(scheme["other"])
        except CapabilityError as error:
            raise CapabilityError(None) from error

    @named(REQUEST + "authority")
    def authority(self, number: int) -> str | None:
        return self.table.get(number, OutgoingRequest).authority

    @named(REQUEST + "set-authority")
    def set_authority(self, number: int, authority: str | None) -> None:
        if authority is not None and not set(authority).isdisjoint("/?#@ "):
            raise CapabilityError(None)
        self.table.get(number, OutgoingRequest).authority = authority

    @named(REQUEST + "headers")
    def request_headers(self, number: int) -> int:
        return self.table.put(self.table.get(number, OutgoingRequest).fields)

    @named(NEW + "request-options")
    def request_options(self) -> int:
        return self.table.put(Options())

    @named(OPTIONS + "connect-timeout")
    def connect_timeout(self, number: int) -> int | None:
        return self._wait_of(number, "connect")

    @named(OPTIONS + "first-byte-timeout")
    def first_byte_timeout(self, number: int) -> int | None:
        return self._wait_of(number, "first-byte")

    @named(OPTIONS + "between-bytes-timeout")
    def between_bytes_timeout(self, number: int) -> int | None:
        return self._wait_of(number, "between-bytes")

    # A timeout of the guest's is not kept: WASI lets a host refuse one that it does not support.
    @named(*(f"{OPTIONS}set-{one}-timeout" for one in ("connect", "first-byte", "between-bytes")))
    def set_timeout(self, number: int, duration: int | None) -> None:
        if duration is not None:
            raise CapabilityError(None)

    def _wait_of(self, number: int, which: str) -> int | None:
        return self.table.get(number, Options).waits.get(which)

    # -- the answer --------------------------------------------------------------------------------------------------

    @named(FUTURE + "subscribe")
    def subscribe(self, number: int) -> int:
        done = self.table.get(number, FutureResponse).done
        return self.table.put(Pollable(done.is_set, done.wait))

    @named(FUTURE + "get")
    def get(self, number: int) -> Any:
        future = self.table.get(number, FutureResponse)
        if not future.done.is_set():
            return None
        if future.taken:
            return {"err": None}
        future.taken = True
        if isinstance(future.outcome, IncomingResponse):
            return {"ok": {"ok": self.table.put(future.outcome)}}
        return {"ok": {"err": future.outcome}}

    @named(RESPONSE + "status")
    def status(self, number: int) -> int:
        return self.table.get(number, IncomingResponse).status

    @named(RESPONSE + "headers")
    def response_headers(self, number: int) -> int:
        return self.table.put(Fields(list(self.table.get(number, IncomingResponse).fields), mutable=False))

    @named(RESPONSE + "consume")
    def consume(self, number: int) -> int:
        response = self.table.get(number, IncomingResponse)
        body, response.body = response.body, None
        if body is None:
            raise CapabilityError(None)
        return self.table.put(body)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
