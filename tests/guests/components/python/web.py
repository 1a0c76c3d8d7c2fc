"""A web server in Python, by the paths that it is asked for; any other path answers with what it was asked."""

# Modules are within the component if they were imported when it was made; connecting looks this one up by its name.
import encodings.idna  # noqa: F401
import os
import random
import socket
import sys
import time

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import outgoing_handler, types
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingBody,
    OutgoingBody,
    OutgoingRequest,
    OutgoingResponse,
    ResponseOutparam,
)

PART = 4096


def parts_of(request):
    """The body, part by part."""
    body = request.consume()
    stream = body.stream()
    try:
        while True:
            try:
                yield stream.blocking_read(PART)
            except Err as end:
                if isinstance(end.value, StreamError_Closed):
                    return
                raise
    finally:
        stream.__exit__(None, None, None)
        IncomingBody.finish(body)


def answer(out, status, headers, parts, trailers=None):
    """Send a response whose body goes out part by part."""
    response = OutgoingResponse(Fields.from_list(headers))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    stream = body.write()
    for part in parts:
        for start in range(0, len(part), PART):
            stream.blocking_write_and_flush(part[start : start + PART])
    stream.__exit__(None, None, None)
    OutgoingBody.finish(body, trailers)


def described(request):
    """What was asked for, a line each: method, scheme, authority, path; then the headers in order."""
    method = request.method()
    lines = [
        getattr(method, "value", None) or type(method).__name__.removeprefix("Method_").upper(),
        type(request.scheme()).__name__.removeprefix("Scheme_"),
        str(request.authority()),
        str(request.path_with_query()),
        *(f"{name}: {value.decode('latin-1')}" for name, value in request.headers().entries()),
    ]
    return "\n".join(lines).encode()


def fetch(method, url, content):
    """The status and the body of another server's answer, or what kept it from answering."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    asked = OutgoingRequest(Fields.from_list([("x-from", b"guest")]))
    asked.set_method(types.Method_Post() if method == "POST" else types.Method_Get())
    asked.set_scheme(types.Scheme_Https() if scheme == "https" else types.Scheme_Http())
    asked.set_authority(authority)
    asked.set_path_with_query(slash + path)
    body = asked.body()
    coming = outgoing_handler.handle(asked, None)
    stream = body.write()
    stream.blocking_write_and_flush(content)
    stream.__exit__(None, None, None)
    OutgoingBody.finish(body, None)
    coming.subscribe().block()
    answer = coming.get().value
    if isinstance(answer, Err):
        return 502, type(answer.value).__name__.encode() + b" " + str(getattr(answer.value, "value", "")).encode()
    return answer.value.status(), b"".join(parts_of(answer.value))


def run(code):
    """What the code calls `out`, or why it does not come to that."""
    names = {"os": os, "random": random, "socket": socket, "sys": sys, "time": time}
    try:
        exec(code, names)
    except Exception as error:
        return 500, f"{type(error).__name__}: {error}".encode()
    return 200, repr(names.get("out")).encode()


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        path, _, query = (request.path_with_query() or "").partition("?")
        text = [("content-type", b"text/plain")]
        if path == "/echo":
            answer(response_out, 200, text, parts_of(request))
        elif path == "/status":
            answer(response_out, int(query), text, [])
        elif path == "/large":
            answer(response_out, 200, text, (b"x" * PART for _ in range(int(query) // PART)))
        elif path == "/headers":
            answer(response_out, 200, [(f"x-{n}", b"v" * 100) for n in range(int(query))], [])
        elif path == "/twice":
            answer(response_out, 200, [("set-cookie", b"a=1"), ("x", b"0"), ("set-cookie", b"b=2")], [])
        elif path == "/trailers":
            answer(response_out, 200, text, [b"body"], Fields.from_list([("x-checksum", b"1234")]))
        elif path == "/header-refused":
            try:
                Fields.from_list([("a b", b"c")])
            except Err as refused:
                answer(response_out, 200, text, [type(refused.value).__name__.encode()])
        elif path == "/fetch":
            method = type(request.method()).__name__.removeprefix("Method_").upper()
            try:
                status, body = fetch(method, query, b"".join(parts_of(request)))
            except Err as refused:
                status, body = 403, type(refused.value).__name__.encode()
            answer(response_out, status, text, [body])
        elif path == "/run":
            status, body = run(b"".join(parts_of(request)).decode())
            answer(response_out, status, text, [body])
        elif path == "/error":
            ResponseOutparam.set(response_out, Err(types.ErrorCode_InternalError("out of order")))
        elif path == "/trap":
            raise RuntimeError("before the response")
        elif path == "/trap-within":
            answer(response_out, 200, text, self.first_part_and_trap())
        elif path == "/nothing":
            pass
        elif path == "/spin":
            while True:
                pass
        else:
            answer(response_out, 200, text, [described(request)])

    @staticmethod
    def first_part_and_trap():
        yield b"first"
        raise RuntimeError("in the middle of a response")
