"""Methods as the engine calls them: CGRF in, CGRF out. One closure per function and actor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from theater_bus.capability import CapabilityError
from theater_bus.core.values.codec import ImportCodec
from theater_bus.errors import ActorError, SerializationError, TooLarge, TypeMismatch

__all__ = ["BoundFunction", "RunBlocking", "WrongArguments", "bind_plain", "bind_waiting", "on_a_thread"]

BoundFunction = Callable[[bytes], "bytes | Coroutine[Any, Any, bytes]"]
RunBlocking = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]
Decode = Callable[[bytes], list[Any]]


class WrongArguments(Exception):
    """The guest passed what the function does not declare: the guest's fault, not the capability's."""

    def __init__(self, error: ActorError) -> None:
        self.error = error
        super().__init__(error.message)


def _arguments(codec: ImportCodec) -> Decode:
    decode_args = codec.decode_args

    def decode(data: bytes) -> list[Any]:
        try:
            return decode_args(data)
        except (TypeMismatch, SerializationError, TooLarge) as error:
            raise WrongArguments(error) from error

    return decode


def bind_plain(method: Callable[..., Any], codec: ImportCodec, fallible: bool) -> BoundFunction:
    """A plain method. A `CapabilityError` is the `err` of a fallible function; all else is raised."""
    decode, encode = _arguments(codec), codec.encode_result

    def call(data: bytes) -> bytes:
        return encode(method(*decode(data)))

    def call_fallible(data: bytes) -> bytes:
        args = decode(data)
        try:
            value = method(*args)
        except CapabilityError as error:
            return encode({"err": error.value})
        return encode({"ok": value})

    return call_fallible if fallible else call


def bind_waiting(method: Callable[..., Any], codec: ImportCodec, fallible: bool) -> BoundFunction:
    """A method that gives an awaitable: the guest is suspended until it is done."""
    decode, encode = _arguments(codec), codec.encode_result

    async def call(data: bytes) -> bytes:
        return encode(await method(*decode(data)))

    async def call_fallible(data: bytes) -> bytes:
        args = decode(data)
        try:
            value = await method(*args)
        except CapabilityError as error:
            return encode({"err": error.value})
        return encode({"ok": value})

    return call_fallible if fallible else call


def on_a_thread(method: Callable[..., Any], run_blocking: RunBlocking) -> Callable[..., Any]:
    """A blocking method as one that waits for the thread that runs it."""

    def call(*args: Any) -> Coroutine[Any, Any, Any]:
        return run_blocking(partial(method, *args))

    return call
