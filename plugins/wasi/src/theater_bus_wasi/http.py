"""`wasi:http`: requests that an actor serves (`incoming-handler`), in memory from the first header to the last trailer.

Invariants: what a guest sees of a request was checked before; what it answers is checked before anybody gets it; both
are bounded (`http_body_bytes`, `http_header_bytes`). What an actor asks of others is in `outgoing`.
Source: WASI 0.2 `wasi:http/types`; RFC 9110 for names, values and status codes.
"""

from __future__ import annotations

import re
from typing import Any

from theater_bus.capability import CapabilityError
from theater_bus_wasi.message import (
    Body,
    Entry,
    Fields,
    OutgoingBody,
    checked,
    is_field,
    method_of,
    scheme_of,
    size_of,
)
from theater_bus_wasi.outgoing import Outgoing
from theater_bus_wasi.streams import ByteSource, OutputStream
from theater_bus_wasi.table import Group, Pollable, named
from theater_bus_wasi.upload import Uploads

__all__ = ["FRONTS", "HANDLE", "Http"]

HANDLE = "wasi:http/incoming-handler.handle"
FRONTS = """
@package: string = "wasi:http"

interface incoming-handler {
    record http-response {
        status: u16,
        headers: list<tuple<string, list<u8>>>,
        body: list<u8>,
        trailers: option<list<tuple<string, list<u8>>>>,
    }

    exports {
        handle: func(
            method: string,
            scheme: option<string>,
            authority: option<string>,
            path-with-query: option<string>,
            headers: list<tuple<string, list<u8>>>,
            body: list<u8>,
            trailers: option<list<tuple<string, list<u8>>>>,
            upload: option<string>,
        ) -> http-response
    }
}
"""

_FORBIDDEN = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host", "http2-settings")
)


class IncomingRequest:
    """A request as the guest sees it."""

    def __init__(self, method: Any, scheme: Any, authority: str | None, path: str | None) -> None:
        self.method, self.scheme, self.authority, self.path = method, scheme, authority, path
        self.fields: list[Entry] = []
        self.body: Body | None = None


class FutureTrailers:
    """Trailers that are there already."""

    def __init__(self, trailers: list[Entry] | None) -> None:
        self.trailers = trailers
        self.taken = False


class OutgoingStream(OutputStream):
    """The stream of a body, which the guest drops before it finishes the body."""

    def __init__(self, body: OutgoingBody) -> None:
        self._body = body

    def room(self) -> int | None:
        """As the body has."""
        return self._body.room()

    def is_open(self) -> bool:
        """As the body is."""
        return self._body.is_open()

    def write(self, data: bytes) -> None:
        """Keep it in the body."""
        self._body.write(data)


class OutgoingResponse:
    """A response being made."""

    def __init__(self, fields: Fields) -> None:
        self.status = 200
        self.fields = fields
        self.body: OutgoingBody | None = None


class Outparam:
    """Where the guest puts its response."""

    def __init__(self) -> None:
        self.response: OutgoingResponse | None = None
        self.error: Any = None


class Http(Group):
    """`wasi:http/types`, and the front of `wasi:http/incoming-handler`."""

    def __init__(self, wasi: Any) -> None:
        super().__init__(wasi)
        self._outparam: Outparam | None = None
        self._upload: str | None = None
        self.uploads = Uploads(self.settings.http_body_bytes, wasi.context.clock)
        self.outgoing: Outgoing

    # -- the front ---------------------------------------------------------------------------------------------------

    def enter(self, arguments: list[Any], handles: list[int]) -> None:
        """Put a request, and the place for its response, behind two handles. Raises `CapabilityError` for no HTTP."""
        method, scheme, authority, path, headers, body, trailers, upload = arguments
        if upload is not None:
            begun = self.uploads.get(upload)
            if begun is None:
                raise CapabilityError(f"no body {upload[:80]!r} was uploaded, or it was more than a minute ago")
            body = begun + body
        request = IncomingRequest(method_of(method), None if scheme is None else scheme_of(scheme), authority, path)
        request.fields = self._entries("headers", headers)
        tail = None if trailers is None else self._entries("trailers", trailers)
        if len(body) > self.settings.http_body_bytes:
            raise CapabilityError(self._too_much("the request's body", len(body), "http_body_bytes"))
        for name, text in (("authority", authority), ("path_with_query", path)):
            if text is not None and not re.fullmatch(r"[!-\"$-~\x80-\U0010ffff]*", text):
                raise CapabilityError(f"{name} {text[:80]!r} has spaces, control characters or `#`")
        if authority is not None and not set(authority).isdisjoint("/?"):
            raise CapabilityError(f"authority {authority[:80]!r} is none (RFC 3986 §3.2)")
        request.body = Body(ByteSource(body), tail)
        self._outparam, self._upload = Outparam(), upload
        for number, item in zip(handles, (request, self._outparam), strict=True):
            self.table.put_at(number, item)

    def leave(self) -> dict[str, Any]:
        """The response of the call that returned. Raises `CapabilityError` where there is none."""
        outparam, self._outparam = self._outparam, None
        if self._upload is not None:
            self.uploads.forget(self._upload)
        response = None if outparam is None else outparam.response
        if response is None:
            error = None if outparam is None else outparam.error
            raise CapabilityError(
                "the guest returned without a response" if error is None else f"the guest's answer is {error}"
            )
        body = response.body
        if body is None:
            body = OutgoingBody(0)
            body.finished = True
        if not body.finished:
            raise CapabilityError("the guest returned before its response was finished")
        if response.fields.size > self.settings.http_header_bytes:
            raise CapabilityError(self._too_much("the response's header", response.fields.size, "http_header_bytes"))
        return {
            "status": response.status,
            "headers": [list(one) for one in response.fields.entries],
            "body": bytes(body.data),
            "trailers": None if body.trailers is None else [list(one) for one in body.trailers],
        }

    def _entries(self, what: str, given: list[Any]) -> list[Entry]:
        size = size_of(given)
        if size > self.settings.http_header_bytes:
            raise CapabilityError(self._too_much(f"the {what}", size, "http_header_bytes"))
        for name, value in given:
            if not is_field(name, value):
                raise CapabilityError(
                    f"{what}: {name[:80]!r} is no name of a header, or its value no value (RFC 9110 §5)"
                )
        return [(name.lower(), value) for name, value in given]

    def _too_much(self, what: str, size: int, setting: str) -> str:
        most = getattr(self.settings, setting)
        return f"{what} has {size} bytes, {most} are allowed (wasi.{setting})"

    # -- fields ------------------------------------------------------------------------------------------------------

    @named("wasi:http/types.[constructor]fields")
    def fields(self) -> int:
        return self.table.put(Fields([], mutable=True))

    @named("wasi:http/types.[static]fields.from-list")
    def from_list(self, entries: list[Any]) -> int:
        fields = Fields([], mutable=True)
        number = self.table.put(fields)
        for name, value in entries:
            self._add(fields, name, value)
        return number

    @named("wasi:http/types.[method]fields.get")
    def get(self, number: int, name: str) -> list[bytes]:
        return [value for key, value in self.table.get(number, Fields).entries if key == name.lower()]

    @named("wasi:http/types.[method]fields.has")
    def has(self, number: int, name: str) -> bool:
        return bool(self.get(number, name))

    @named("wasi:http/types.[method]fields.set")
    def set(self, number: int, name: str, values: list[bytes]) -> None:
        self.delete(number, name)
        for value in values:
            self._add(self.table.get(number, Fields), name, value)

    @named("wasi:http/types.[method]fields.delete")
    def delete(self, number: int, name: str) -> None:
        self._mutable(number).delete(name.lower())

    @named("wasi:http/types.[method]fields.append")
    def append(self, number: int, name: str, value: bytes) -> None:
        self._add(self._mutable(number), name, value)

    @named("wasi:http/types.[method]fields.entries")
    def entries(self, number: int) -> list[list[Any]]:
        return [list(one) for one in self.table.get(number, Fields).entries]

    @named("wasi:http/types.[method]fields.clone")
    def clone(self, number: int) -> int:
        return self.table.put(Fields(list(self.table.get(number, Fields).entries), mutable=True))

    def _mutable(self, number: int) -> Fields:
        fields = self.table.get(number, Fields)
        if not fields.mutable:
            raise CapabilityError("immutable")
        return fields

    def _add(self, fields: Fields, name: str, value: bytes) -> None:
        name, value = checked(name, value)
        if name.lower() in _FORBIDDEN:
            raise CapabilityError("forbidden")
        if fields.size + size_of([(name, value)]) > self.settings.http_header_bytes:
            raise CapabilityError("invalid-syntax")
        fields.add(name.lower(), value)

    # -- the request -------------------------------------------------------------------------------------------------

    @named("wasi:http/types.[method]incoming-request.method")
    def method(self, number: int) -> Any:
        return self.table.get(number, IncomingRequest).method

    @named("wasi:http/types.[method]incoming-request.scheme")
    def scheme(self, number: int) -> Any:
        return self.table.get(number, IncomingRequest).scheme

    @named("wasi:http/types.[method]incoming-request.authority")
    def authority(self, number: int) -> str | None:
        return self.table.get(number, IncomingRequest).authority

    @named("wasi:http/types.[method]incoming-request.path-with-query")
    def path_with_query(self, number: int) -> str | None:
        return self.table.get(number, IncomingRequest).path

    @named("wasi:http/types.[method]incoming-request.headers")
    def request_headers(self, number: int) -> int:
        return self.table.put(Fields(list(self.table.get(number, IncomingRequest).fields), mutable=False))

    @named("wasi:http/types.[method]incoming-request.consume")
    def consume(self, number: int) -> int:
        request = self.table.get(number, IncomingRequest)
        body, request.body = request.body, None
        if body is None:
            raise CapabilityError(None)
        return self.table.put(body)

    @named("wasi:http/types.[method]incoming-body.stream")
    def stream(self, number: int) -> int:
        body = self.table.get(number, Body)
        source, body.source = body.source, None
        if source is None:
            raise CapabilityError(None)
        return self.table.put(source)

    @named("wasi:http/types.[static]incoming-body.finish")
    def finish_incoming(self, number: int) -> int:
        return self.table.put(FutureTrailers(self.table.take(number, Body).trailers))

    @named("wasi:http/types.[method]future-trailers.subscribe")
    def subscribe_trailers(self, number: int) -> int:
        return self.table.put(Pollable.always())

    @named("wasi:http/types.[method]future-trailers.get")
    def trailers(self, number: int) -> Any:
        future = self.table.get(number, FutureTrailers)
        if future.taken:
            return {"err": None}
        future.taken = True
        found = future.trailers
        return {"ok": {"ok": None if found is None else self.table.put(Fields(list(found), mutable=False))}}

    # -- the response ------------------------------------------------------------------------------------------------

    @named("wasi:http/types.[constructor]outgoing-response")
    def outgoing_response(self, headers: int) -> int:
        fields = self.table.take(headers, Fields)
        return self.table.put(OutgoingResponse(Fields(fields.entries, mutable=False)))

    @named("wasi:http/types.[method]outgoing-response.status-code")
    def status_code(self, number: int) -> int:
        return self.table.get(number, OutgoingResponse).status

    @named("wasi:http/types.[method]outgoing-response.set-status-code")
    def set_status_code(self, number: int, status: int) -> None:
        if not 100 <= status <= 999:
            raise CapabilityError(None)
        self.table.get(number, OutgoingResponse).status = status

    @named("wasi:http/types.[method]outgoing-response.headers")
    def response_headers(self, number: int) -> int:
        return self.table.put(self.table.get(number, OutgoingResponse).fields)

    @named("wasi:http/types.[method]outgoing-response.body")
    def response_body(self, number: int) -> int:
        response = self.table.get(number, OutgoingResponse)
        if response.body is not None:
            raise CapabilityError(None)
        response.body = OutgoingBody(self.settings.http_body_bytes)
        return self.table.put(response.body)

    @named("wasi:http/types.[method]outgoing-body.write")
    def body_stream(self, number: int) -> int:
        body = self.table.get(number, OutgoingBody)
        if body.streamed:
            raise CapabilityError(None)
        body.streamed = True
        return self.table.put(OutgoingStream(body))

    @named("wasi:http/types.[static]outgoing-body.finish")
    async def finish_outgoing(self, number: int, trailers: int | None) -> None:
        body = self.table.take(number, OutgoingBody)
        body.finished = True
        body.trailers = None if trailers is None else self.table.take(trailers, Fields).entries
        await self.outgoing.finished(body)

    @named("wasi:http/types.[static]response-outparam.set")
    def set_response(self, number: int, response: dict[str, Any]) -> None:
        outparam = self.table.take(number, Outparam)
        if "ok" in response:
            outparam.response = self.table.take(response["ok"], OutgoingResponse)
        else:
            outparam.error = response["err"]

    @named("wasi:http/types.[method]response-outparam.send-informational")
    def send_informational(self, number: int, status: int, headers: int) -> None:
        raise CapabilityError({"internal-error": "informational responses are not passed on"})

    @named("wasi:http/types.http-error-code")
    def http_error_code(self, error: int) -> None:
        return None
