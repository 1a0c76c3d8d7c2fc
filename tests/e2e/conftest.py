"""The installed command as its users have it: a process per call, one served host for the session."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from theater_bus.cli.main import run as command_line
from theater_bus.testing.guests import guest

PROGRAM = Path(sys.executable).with_name("theater-bus")
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its documents, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """Its error, told in JSON."""
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


def environment(**more: str) -> dict[str, str]:
    """The environment without what would steer the command, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("THEATER_BUS_", "OTEL_"))}
    return kept | {"NO_COLOR": "1"} | more


def run(*words: str, cwd: Path | None = None, **variables: str) -> Done:
    """Run `theater-bus` with these words and variables, to its end."""
    done = subprocess.run(
        [str(PROGRAM), *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=cwd,
        env=environment(**variables),
    )
    return Done(done.returncode, done.stdout, done.stderr)


def quick(*words: str, **variables: str) -> Done:
    """As `run`, in this process: for what prepares a test, and for the many ways to fail. One at a time."""
    out, err = StringIO(), StringIO()
    with (
        patch.dict(os.environ, environment(**variables), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = command_line(words)
    return Done(code, out.getvalue(), err.getvalue())


class Served:
    """A `theater-bus serve` that is ready; `ready` is what it said of itself."""

    def __init__(self, *words: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [str(PROGRAM), "serve", "-o", "json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**variables),
        )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.process.kill()
            raise AssertionError(f"serve did not get ready: {self.process.communicate()[1]}")
        self.ready: dict[str, Any] = json.loads(line)
        self.url: str = self.ready["server"]

    def __call__(self, *words: str) -> Done:
        """Run a command against it."""
        return run(*words, THEATER_BUS_SERVERS=self.url)

    def quick(self, *words: str) -> Done:
        """Run a command against it in this process."""
        return quick(*words, THEATER_BUS_SERVERS=self.url)

    def end(self, number: signal.Signals = signal.SIGTERM) -> Done:
        """Signal it, and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Done(self.process.returncode, out, err)


Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def guests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with guests and manifests as a user has them: counter (memory), durable (file), chaos, and bad ones."""
    folder = tmp_path_factory.mktemp("guests")
    for name in ("counter", "chaos"):
        (folder / f"{name}.wasm").write_bytes(guest(name).wasm)
        (folder / f"{name}.toml").write_text(guest(name).manifest_text)
    counter = guest("counter").manifest_text
    (folder / "durable.toml").write_text(f'{counter}\n[chain]\ndurability = "file"\n')
    (folder / "typo.toml").write_text(re.sub("initial_state", "inital_state", counter))
    (folder / "other.wasm").write_text("this is no module")
    (folder / "other.toml").write_text('name = "other"\npackage = "other.wasm"\n')
    return folder


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The session's host with its own server. Use ids of your own on it."""
    data = tmp_path_factory.mktemp("host")
    served = Served("--embedded", "--port", "0", "--metrics-port", "0", "--data", str(data))
    try:
        yield served
    finally:
        served.end()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(…)`: a host of the test's own, ended with it."""
    with ExitStack() as stack:

        def start(*words: str, **variables: str) -> Served:
            served = Served(*words, **variables)
            stack.callback(served.end)
            return served

        yield start


@pytest.fixture(scope="session")
def counter(host: Served, guests: Path) -> str:
    """The id of a counter that tests may read, call and look at, but not stop."""
    done = host.quick("spawn", str(guests / "counter.toml"), "--id", "shared")
    assert done.code == 0, done.err
    return done.out.strip()
