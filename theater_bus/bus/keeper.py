"""Starting a process that cannot outlive ours, whatever ends us.

Linux can kill a child when its parent dies (`PR_SET_PDEATHSIG`, prctl(2)), but it means the parent *thread*: a server
started from a short-lived thread would die with that thread. So children are started from one daemon thread that lives
as long as the process does, through a shim that sets the flag and becomes the child.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import IO

__all__ = ["start"]

# Runs in a fresh interpreter without site-packages, then becomes the program: the process id stays.
_SHIM = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

Job = tuple[Sequence[str], IO[bytes], "Future[subprocess.Popen[bytes]]"]


def start(program: Path, arguments: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `program` with standard output and error in `output`. On Linux it dies with this process, even by SIGKILL;
    elsewhere it must be stopped. Raises OSError.
    """
    if sys.platform != "linux":
        return _popen([str(program), *arguments], output)
    command = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), str(program), *arguments]
    return _Keeper.current().run(command, output)


def _popen(command: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    # Its own process group: a Ctrl-C in the terminal ends us, and we end the server in order.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0)


class _Keeper:
    """The thread that starts processes and stays."""

    _lock = threading.Lock()
    _instance: _Keeper | None = None

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        threading.Thread(target=self._work, name="theater-bus-keeper", daemon=True).start()

    @classmethod
    def current(cls) -> _Keeper:
        """The keeper of this process; a forked child gets one of its own."""
        with cls._lock:
            if cls._instance is None or cls._instance._pid != os.getpid():
                cls._instance = cls()
            return cls._instance

    def run(self, command: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the command in the keeper's thread."""
        started: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((command, output, started))
        return started.result(timeout=30)

    def _work(self) -> None:
        while True:
            command, output, started = self._jobs.get()
            try:
                started.set_result(_popen(command, output))
            except OSError as error:
                started.set_exception(error)
