"""The terminal of this process: who has it, its mode, and that it is given back whatever happens.

Invariants: it has one owner at a time; its settings are saved before they are changed and restored at the owner's end,
at the end of the process, and before a signal ends the process; restoring never waits. Signals are seen and passed on,
never taken: whoever listened before still does.
"""

from __future__ import annotations

import atexit
import os
import signal
import stat
import termios
import threading
import tty
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

__all__ = ["CONSOLE", "Console", "NoTerminal"]

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that end a process: the terminal is given back at once."""
WATCHED = (*ENDING, signal.SIGINT, signal.SIGWINCH)

Told = Callable[[int], None]
T = TypeVar("T")


class NoTerminal(Exception):
    """The process has no terminal, or not in the foreground; the text says which."""


class Console:
    """Three file descriptors of the process and the terminal behind them."""

    def __init__(self, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.owner: object | None = None
        self.owner_name = ""
        self._saved: tuple[int, list[Any]] | None = None
        self._before: dict[int, Any] = {}
        self._told: Told | None = None

    # -- its owner -----------------------------------------------------------------------------------------------------

    def take(self, owner: object, name: str, told: Told) -> None:
        """Become the owner; `told` gets the numbers of signals, in the main thread. The owner may take it again."""
        if self.owner is owner:
            return
        if self.owner is not None:
            raise NoTerminal(f"the terminal is in use by actor {self.owner_name}")
        self.owner, self.owner_name, self._told = owner, name, told
        self._watch()

    def give_back(self, owner: object) -> None:
        """Be the owner no more: the terminal is what it was."""
        if self.owner is not owner:
            return
        self.restore()
        self._unwatch()
        self.owner, self.owner_name, self._told = None, "", None

    # -- its mode ------------------------------------------------------------------------------------------------------

    @property
    def is_raw(self) -> bool:
        """Whether raw mode is on."""
        return self._saved is not None

    def make_raw(self) -> None:
        """Turn raw mode on. Raises `NoTerminal`."""
        if self._saved is not None:
            return
        fd = self._terminal()
        self._saved = fd, termios.tcgetattr(fd)
        atexit.register(self.restore)
        tty.setraw(fd, termios.TCSANOW)

    def restore(self) -> None:
        """Turn raw mode off. It may be called at any time, from signal handlers too, and does not wait."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        atexit.unregister(self.restore)
        # Whoever hung up has no terminal to restore.
        try:
            termios.tcsetattr(saved[0], termios.TCSANOW, saved[1])
        except (OSError, termios.error):
            return

    def size(self) -> tuple[int, int]:
        """Columns and rows. Raises `NoTerminal`."""
        for fd in (self.stdout, self.stdin, self.stderr):
            try:
                found = os.get_terminal_size(fd)
            except OSError:
                continue
            return found.columns, found.lines
        raise NoTerminal("the host runs without a terminal")

    def _terminal(self) -> int:
        """The terminal's descriptor. Raises `NoTerminal` where it is none, or that of another job."""
        for fd in (self.stdin, self.stdout, self.stderr):
            if _is_terminal(fd):
                self._check_foreground(fd)
                return fd
        raise NoTerminal("the host runs without a terminal")

    def _check_foreground(self, fd: int) -> None:
        # The system stops a process in the background that touches the terminal.
        try:
            in_front = os.tcgetpgrp(fd) == os.getpgrp()
        except OSError:
            return  # it is a terminal, and not the one that controls this process
        if not in_front:
            raise NoTerminal("the host runs in the background of its terminal")

    # -- without waiting -----------------------------------------------------------------------------------------------

    def open(self, fd: int, flags: int, use: Callable[[int], T]) -> T:
        """`use` of the same file or terminal, opened once more so that it never waits, and others of `fd` still may.

        Raises `NoTerminal`, also for what nobody can wait for, such as `/dev/null`.
        """
        try:
            kind = os.fstat(fd).st_mode
            if flags == os.O_RDONLY and stat.S_ISREG(kind):
                raise NoTerminal("the host's standard input is a file, not a terminal or a pipe")
            if flags == os.O_RDONLY and _is_terminal(fd):
                self._check_foreground(fd)
            append = os.O_APPEND if stat.S_ISREG(kind) else 0
            opened = os.open(f"/proc/self/fd/{fd}", flags | append | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                return use(opened)
            except BaseException:
                os.close(opened)
                raise
        except OSError as error:
            raise NoTerminal(
                f"descriptor {fd} of the host cannot be used: {os.strerror(error.errno or 0).lower()}"
            ) from error

    # -- signals -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can; the end of the process and of the owner restore all the same
        for number in WATCHED:
            self._before[number] = signal.signal(number, self._signalled)

    def _unwatch(self) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._signalled and before is not None:
                signal.signal(number, before)
        self._before.clear()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if number in ENDING:
            self.restore()
        if self._told is not None:
            self._told(number)
        before = self._before.get(number)
        if callable(before):
            before(number, frame)
        elif before == signal.SIG_DFL and number != signal.SIGWINCH:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


CONSOLE = Console()
"""The one of this process: there is one terminal, however many hosts and actors."""
