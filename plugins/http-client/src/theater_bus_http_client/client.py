"""`theater:simple/http-client`, compatible with guests built for Theater, and streams beside it.

Invariants: nothing is resolved or sent before method, host and headers are granted; an operation leaves no connection
open behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from pydantic import Field

from theater_bus.capability import (
    ENDPOINTS,
    FLAG,
    HOSTS,
    NUMBER,
    STRINGS,
    Capability,
    CapabilityError,
    Context,
)
from theater_bus.capability import Settings as BaseSettings
from theater_bus_http_client.request import Bounds
from theater_bus_http_client.stream import BodyStream
from theater_bus_http_client.transport import Answer, Transport, failures

__all__ = ["HttpClient"]

T = TypeVar("T")

Method = Annotated[str, Field(pattern=r"^[A-Z]{1,32}$")]
Bytes = Annotated[int, NUMBER, Field(strict=True, ge=0, le=64 << 20)]


class HttpClient(Capability):
    """Requests to granted hosts."""

    name = "http-client"
    pact = "http_client.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`[capabilities.http-client]`: only `hosts` are reached, and of what is not public only `private`."""

        hosts: Annotated[tuple[str, ...], HOSTS] = ()
        methods: Annotated[tuple[Method, ...], STRINGS] = ("GET", "HEAD")
        private: Annotated[tuple[str, ...], ENDPOINTS] = ()
        request_bytes: Bytes = 1 << 20
        response_bytes: Bytes = 1 << 20
        stream_bytes: Bytes = 16 << 20
        streams: Annotated[int, NUMBER, Field(strict=True, ge=0, le=64)] = 4
        redirects: Annotated[int, NUMBER, Field(strict=True, ge=0, le=20)] = 5
        timeout_ms: Annotated[int, NUMBER, Field(strict=True, ge=1, le=3_600_000)] = 10_000
        idempotency_key: Annotated[bool, FLAG, Field(strict=True)] = True

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._bounds = Bounds(self.settings.methods, self.settings.hosts, self.settings.request_bytes)
        self._transport = Transport(
            context,
            self._bounds,
            ENDPOINTS.read(list(self.settings.private)).allows,
            redirects=self.settings.redirects,
            keys=self.settings.idempotency_key,
        )
        self._streams: dict[int, BodyStream] = {}
        self._opened = 0

    async def stop(self) -> None:
        """End every connection."""
        for number in list(self._streams):
            self._end(number)
        await self._transport.close()

    # -- theater:simple/http-client ------------------------------------------------------------------------------------

    async def send_http(self, req: dict[str, Any]) -> dict[str, Any]:
        """The whole answer to a request."""
        return await self._in_time(self._whole(req))

    # -- theater:bus/http-client ---------------------------------------------------------------------------------------

    async def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """The beginning of the answer, whose body `read` gives."""
        if len(self._streams) >= self.settings.streams:
            raise CapabilityError(
                f"the grant http-client.streams = {self.settings.streams} is used up. Fix: close one, or write "
                f"`streams = {self.settings.streams + 1}` under [capabilities.http-client]"
            )
        answer = await self._in_time(self._transport.send(self._bounds.request(request)))
        try:
            stream = BodyStream(answer, self.settings.stream_bytes)
        except BaseException:
            answer.response.close()
            raise
        self._opened += 1
        number, self._streams[self._opened] = self._opened, stream
        self.context.on_operation_end(lambda _took_effect: self._end(number))
        return {"stream": number, "status": answer.response.status, "headers": answer.headers}

    async def read(self, stream: int, max_bytes: int) -> bytes | None:
        """The next bytes of a stream; None at its end, which also closes it."""
        found = self._found(stream)
        if max_bytes == 0:
            raise CapabilityError("0 bytes are nothing to read. Fix: ask for 1 or more")
        try:
            data = await self._in_time(found.read(max_bytes))
        except BaseException:
            self._end(stream)
            raise
        if data is None:
            self._end(stream)
        return data

    async def close(self, stream: int) -> None:
        """End a stream early."""
        self._found(stream)
        self._end(stream)

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _whole(self, req: dict[str, Any]) -> dict[str, Any]:
        answer = await self._transport.send(self._bounds.request(req))
        try:
            return await self._read_whole(answer)
        finally:
            answer.response.close()

    async def _read_whole(self, answer: Answer) -> dict[str, Any]:
        with failures(answer.host):
            body = await answer.body(self.settings.response_bytes)
        return {"status": answer.response.status, "headers": answer.headers, "body": body}

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self.settings.timeout_ms / 1000):
                return await work
        except TimeoutError:
            raise CapabilityError(
                f"no answer within the granted http-client.timeout_ms = {self.settings.timeout_ms}. "
                "Fix: write a larger `timeout_ms` under [capabilities.http-client], or ask for less"
            ) from None

    def _found(self, number: int) -> BodyStream:
        stream = self._streams.get(number)
        if stream is None:
            raise CapabilityError(f"there is no open stream {number}: it has ended, or its operation has")
        return stream

    def _end(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.close()
