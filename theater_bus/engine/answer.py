"""Working out a host function's answer, on the loop, in the call's own context."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol

from theater_bus.engine.eager import Running
from theater_bus.engine.outcome import GuestFailure

if TYPE_CHECKING:
    from theater_bus.engine.flight import Callee

__all__ = ["Question", "answer_of", "ask_host", "fatal"]

_FATAL: Final = (KeyboardInterrupt, SystemExit)


class Question(Protocol):
    """A host call that a guest made and waits for."""

    which: int
    fresh: bool
    answer: bytes | GuestFailure | None

    def data(self, instance: Any) -> bytes | None:
        """The encoded argument; None where the guest pointed to what is not its memory."""


def ask_host(
    callee: Callee, ask: Question, context: Context, later: Callable[[asyncio.Task[bytes]], None]
) -> Running | None:
    """Call the host function that the guest asked for.

    None: the answer, or the failure to end the call with, is in `ask.answer`. Otherwise a coroutine goes on, and
    `later` is called with its task at its end.
    """
    data = ask.data(callee)
    if data is None:
        ask.answer = GuestFailure("out-of-bounds", "a host call's argument lies outside the guest's memory")
        return None
    runtime = callee.runtime
    allowance = runtime.turn.enter()
    try:
        answer = context.run(callee.calls[ask.which], data)
        if answer.__class__ is not bytes and isinstance(answer, Coroutine):
            answer = runtime.carriers.start(answer, context, later)  # type: ignore[assignment]
    except BaseException as error:  # noqa: BLE001 - becomes the failure of the call
        ask.answer = _failed(error)
        return None
    finally:
        runtime.turn.leave(allowance)
    if isinstance(answer, Running):
        return answer
    ask.answer = _checked(answer)
    return None


def answer_of(task: asyncio.Task[bytes]) -> bytes | GuestFailure:
    """The answer of a host coroutine that has ended, or why there is none."""
    if task.cancelled():
        return _failed(asyncio.CancelledError("the host function was cancelled"))
    error = task.exception()
    return _checked(task.result()) if error is None else _failed(error)


def _checked(answer: object) -> bytes | GuestFailure:
    if isinstance(answer, bytes):
        return answer
    return _failed(TypeError(f"a host function answered with {type(answer).__name__}, not with bytes"))


def _failed(error: BaseException) -> GuestFailure:
    return GuestFailure("host-call", f"{type(error).__name__}: {error}", "", error)


def fatal(answer: bytes | GuestFailure | None) -> BaseException | None:
    """What was meant to end the process and came up in a host function; a task would have raised it to the loop."""
    error = answer.exception if isinstance(answer, GuestFailure) else None
    return error if isinstance(error, _FATAL) else None
