"""The parent of one program: `python -I -S watcher.py SOCKET FOLDER`, with the program's stdin, stdout and stderr.

It knows only the standard library, and talks with its host over the socket, in lines:

    host     {"path", "argv", "env", "limits": {name of RLIMIT: number}}     once
    watcher  started | failed TEXT
    host     signal NUMBER                                                    any number of times
    watcher  exit CODE                                                        below 0 for a signal

Invariants: when the program ends, or the socket does (its host wants it, or died however), everything that the program
has started ends too, whatever group or session it moved to: this process adopts orphans (`PR_SET_CHILD_SUBREAPER`) and
reports the end when none is left. A process number is signalled only while it cannot belong to anybody else. If this
process itself is killed, the program is, by the kernel (`PR_SET_PDEATHSIG`).
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
END_S = 5.0
POLL_S = 0.005


def main(channel: int, folder: int) -> None:
    """Start the program, and stay until everything of it is gone."""
    for descriptor in (channel, folder):
        os.set_inheritable(descriptor, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    orders = Orders(channel)
    wake = wake_on_child()
    order = json.loads(orders.first_line())
    program, problem = start(order, folder)
    if problem:
        os.waitpid(program, 0)
        os.write(channel, f"failed {problem}\n".encode())
        return
    try:
        os.write(channel, b"started\n")
        watch(program, orders, wake)
    finally:
        # Whatever happens to this process: nothing may go on without it.
        code = end(program)
    try:
        os.write(channel, f"exit {code}\n".encode())
    except OSError:
        # The host is gone.
        return


class Orders:
    """What the host sends."""

    def __init__(self, channel: int) -> None:
        self.channel = channel
        self._data = b""

    def first_line(self) -> bytes:
        """The first line. Ends the process where none comes."""
        while b"\n" not in self._data:
            self._read()
        line, _, self._data = self._data.partition(b"\n")
        return line

    def signals(self) -> "list[int] | None":
        """The signals that have arrived; None when the host wants the end, or is gone."""
        try:
            self._read()
        except SystemExit:
            return None
        *lines, self._data = self._data.split(b"\n")
        return [int(line.removeprefix(b"signal ")) for line in lines]

    def _read(self) -> None:
        try:
            data = os.read(self.channel, 65536)
        except OSError:
            data = b""
        if not data:
            raise SystemExit(0)
        self._data += data


def start(order: "dict[str, object]", folder: int) -> "tuple[int, str]":
    """Fork and execute. What comes back are the number and, where it failed, why."""
    told, tell = os.pipe()
    parent = os.getpid()
    program = os.fork()
    if program == 0:
        try:
            become(order, folder, parent)
        except BaseException as error:  # noqa: BLE001  it is told, and nothing of this process may go on here
            os.write(tell, (getattr(error, "strerror", None) or repr(error)).encode())
        finally:
            os._exit(127)
    os.close(tell)
    os.close(folder)
    # Only the program holds its pipes, so that their ends are seen.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    with open(told, "rb") as answer:
        return program, answer.read().decode("utf-8", "replace")


def become(order: "dict[str, object]", folder: int, parent: int) -> None:
    """Turn into the program."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if os.getppid() != parent:
        os._exit(127)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.fchdir(folder)
    for name, most in order["limits"].items():  # type: ignore[attr-defined]
        limit = getattr(resource, name)
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    os.execve(order["path"], order["argv"], order["env"])  # type: ignore[arg-type]


def watch(program: int, orders: Orders, wake: int) -> None:
    """Return when the program has ended (it is not reaped yet), or is to end."""
    poll = select.poll()
    poll.register(orders.channel, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == wake:
                os.read(wake, 4096)
                if reap(program):
                    return
            else:
                numbers = orders.signals()
                if numbers is None:
                    return
                for number in numbers:
                    os.kill(program, number)


def reap(program: int) -> bool:
    """Reap adopted orphans; whether the program has ended."""
    while True:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return False
        if found.si_pid == program:
            return True
        os.waitpid(found.si_pid, 0)


def end(program: int) -> int:
    """End the program and all that it has started. Its exit code, below 0 for a signal."""
    # It is not reaped, so neither its number nor that of its group can be anybody else's.
    os.killpg(program, signal.SIGKILL)
    status = os.waitpid(program, 0)[1]
    until = time.monotonic() + END_S
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                for child in children():
                    os.kill(child, signal.SIGKILL)
                time.sleep(POLL_S)
        except ChildProcessError:
            break
    return os.waitstatus_to_exitcode(status)


def children() -> "list[int]":
    """The children of this process: all that it has adopted, which nobody else can reap."""
    me, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = file.read().rpartition(b")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == me:
                found.append(int(name))
    return found


def wake_on_child() -> int:
    """A descriptor that can be read when a child has ended."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def prctl(option: int, value: int) -> None:
    """Raise `OSError` where the kernel refuses."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
