"""`theater:simple/terminal`, compatible with guests built for Theater.

Invariants: who has asked for input or raw mode has the terminal, and nobody else writes to it; input is read a little
ahead of the actor and no further; at most one call of each kind waits. An operation that fails leaves the mode as it
was.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from functools import partial
from typing import Annotated

from theater_bus import ActorError
from theater_bus.capability import FLAG, CallQueue, Capability, CapabilityError, Context, QueuedCall
from theater_bus.capability import Settings as BaseSettings
from theater_bus_terminal import console
from theater_bus_terminal.console import Console, NoTerminal
from theater_bus_terminal.stream import Harmless, Reader, write_all

__all__ = ["Terminal"]

INTERFACE = "theater:simple/terminal"
INPUT, SIGNAL, RESIZE = (f"{INTERFACE}.handle-{what}" for what in ("input", "signal", "resize"))
SIGNALS = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminate"}
CTRL_C = b"\x03"
WAITING = 8


class Terminal(Capability):
    """The terminal of the host's process, for one actor at a time."""

    name = "terminal"
    pact = "terminal.pact"

    class Settings(BaseSettings):
        """`[capabilities.terminal]`; each is given only if host, parent and manifest give it."""

        output: Annotated[bool, FLAG] = True
        input: Annotated[bool, FLAG] = False
        raw: Annotated[bool, FLAG] = False
        control: Annotated[bool, FLAG] = False

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._console: Console = console.CONSOLE
        self._calls = CallQueue(context, WAITING)
        self._loop = asyncio.get_running_loop()
        self._outputs: dict[int, tuple[int, Harmless]] = {}
        self._reader: Reader | None = None
        self._input: QueuedCall | None = None
        self._told: dict[str, QueuedCall] = {}
        self._restored = {"input": False, "raw": False}
        self._has_failed = False

    # -- theater:simple/terminal ---------------------------------------------------------------------------------------

    async def write_stdout(self, data: bytes) -> int:
        """Write to the host's standard output."""
        return await self._write(self._console.stdout, data)

    async def write_stderr(self, data: bytes) -> int:
        """Write to the host's standard error."""
        return await self._write(self._console.stderr, data)

    def set_raw_mode(self, enabled: bool) -> None:
        """Turn raw mode on or off."""
        self._require("raw")
        was = self._is_mine() and self._console.is_raw
        if enabled == was:
            return
        self._set_raw(enabled)
        self.context.on_operation_end(partial(self._was_set, was))
        self.context.snapshot_changed()

    def get_size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = self._console.size()
        except NoTerminal as error:
            raise CapabilityError(str(error)) from error
        return min(columns, 0xFFFF), min(rows, 0xFFFF)

    def enable_input(self) -> None:
        """Have input told to handle-input from now on."""
        self._require("input")
        if self._reader is not None:
            raise CapabilityError("input is enabled already")
        if not self.context.has_export(INPUT):
            raise CapabilityError(
                f"the actor has no {INPUT}. Fix: export `{INPUT}: func(state: S, data: list<u8>) -> "
                "result<tuple<S>, string>`"
            )
        self._read()
        self.context.on_operation_end(self._was_enabled)
        self.context.snapshot_changed()

    # -- with the operation --------------------------------------------------------------------------------------------

    def _set_raw(self, enabled: bool) -> None:
        try:
            if enabled:
                self._take()
                self._console.make_raw()
            elif self._is_mine():
                self._console.restore()
        except NoTerminal as error:
            self._let_go()
            raise CapabilityError(str(error)) from error
        self._let_go()

    def _was_set(self, was: bool, took_effect: bool) -> None:
        """What an operation that failed has set is set back."""
        if not took_effect and (self._is_mine() and self._console.is_raw) != was:
            try:
                self._set_raw(was)
            except CapabilityError as error:
                self.context.report_failure(f"raw mode is not what it was: {error}")

    def _was_enabled(self, took_effect: bool) -> None:
        if not took_effect:
            self._end_input()
            self._let_go()

    def _require(self, setting: str) -> None:
        if not getattr(self.settings, setting):
            raise CapabilityError(
                f"the grant terminal.{setting} is missing. Fix: `{setting} = true` under [capabilities.terminal] in "
                "the actor's manifest; its parent and the host must allow as much"
            )

    # -- having the terminal -------------------------------------------------------------------------------------------

    def _is_mine(self) -> bool:
        return self._console.owner is self

    def _take(self) -> None:
        self._console.take(self, self.context.actor.id, self._signalled)

    def _let_go(self) -> None:
        """Give the terminal back where neither raw mode nor input is on."""
        if self._reader is None and not (self._is_mine() and self._console.is_raw):
            self._console.give_back(self)

    # -- output --------------------------------------------------------------------------------------------------------

    async def _write(self, fd: int, data: bytes) -> int:
        self._require("output")
        owner = self._console.owner
        if owner is not None and owner is not self:
            raise CapabilityError(f"the terminal is in use by actor {self._console.owner_name}")
        try:
            if fd not in self._outputs:
                self._outputs[fd] = self._console.open(fd, os.O_WRONLY, int), Harmless()
            opened, harmless = self._outputs[fd]
            await write_all(opened, data if self.settings.control else harmless(data))
        except NoTerminal as error:
            raise CapabilityError(str(error)) from error
        except OSError as error:
            raise CapabilityError(f"nothing can be written: {os.strerror(error.errno or 0).lower()}") from error
        return len(data)

    # -- input ---------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            self._take()
            self._reader = self._console.open(self._console.stdin, os.O_RDONLY, partial(Reader, on_data=self._came))
        except NoTerminal as error:
            self._let_go()
            raise CapabilityError(str(error)) from error

    def _end_input(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._input is not None:
            self._input.take_back()
            self._input = None

    def _came(self, data: bytes) -> None:
        """Input came. An actor that does not take it must not keep a person from ending the host."""
        if self._input is None:
            self._tell_input()
        elif CTRL_C in data and self._console.is_raw:
            os.kill(os.getpid(), signal.SIGINT)

    def _tell_input(self) -> None:
        """Tell the next piece; behind the last one none, which says that no more comes."""
        reader = self._reader
        if reader is None:
            return
        data = reader.take()
        if data or reader.is_over:
            self._input = self._calls.put(INPUT, [data], partial(self._heard_input, bool(data)))

    def _heard_input(self, has_more: bool, error: ActorError | None) -> None:
        self._input = None
        self._judge("input", error)
        if has_more:
            self._tell_input()
        else:
            self._end_input()
            self._let_go()

    # -- signals -------------------------------------------------------------------------------------------------------

    def _signalled(self, number: int) -> None:
        """A signal came, in the midst of whatever the main thread does."""
        self._loop.call_soon_threadsafe(self._tell_signal, number)

    def _tell_signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            try:
                self._tell(RESIZE, list(self.get_size()))
            except CapabilityError:
                return
        elif number in SIGNALS:
            self._tell(SIGNAL, [SIGNALS[signal.Signals(number)]])

    def _tell(self, function: str, params: list[object]) -> None:
        """Tell the actor, if it listens; an earlier call that it has not seen is out of date."""
        if not self.context.has_export(function):
            return
        key = function if function == RESIZE else f"{function} {params}"
        before = self._told.get(key)
        if before is not None:
            before.take_back()
        self._told[key] = self._calls.put(function, params, partial(self._judge, function.rpartition("-")[2]))

    def _judge(self, what: str, error: ActorError | None) -> None:
        """Report the first of several failures."""
        if error is not None and not self._has_failed:
            self.context.report_failure(f"handle-{what} failed: {error}")
        self._has_failed = error is not None

    # -- its life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Have again what the actor had before its host went away, where there is a terminal."""
        try:
            if self._restored["input"] and self.settings.input:
                self._read()
            if self._restored["raw"] and self.settings.raw:
                self._set_raw(True)
        except CapabilityError as error:
            self.context.report_failure(f"the terminal is not what it was: {error}")

    async def stop(self) -> None:
        """Give the terminal back."""
        self._calls.close()
        self._end_input()
        self._console.give_back(self)
        for fd, _ in self._outputs.values():
            os.close(fd)
        self._outputs.clear()

    def snapshot(self) -> bytes | None:
        """Whether input and raw mode are on; None where neither is."""
        on = {"input": self._reader is not None, "raw": self._is_mine() and self._console.is_raw}
        return json.dumps(on).encode() if any(on.values()) else None

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        try:
            found = json.loads(snapshot)
            self._restored = {"input": bool(found["input"]), "raw": bool(found["raw"])}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no snapshot of a terminal: {error!r}") from error
