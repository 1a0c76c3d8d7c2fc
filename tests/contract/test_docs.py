"""The documentation does what it says: its files, commands and scripts run, page by page, against a real host."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import nats
import pytest
import pytest_asyncio

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED_ADDRESS = "nats://127.0.0.1:4222"
COMMAND_S = 180.0
AT_A_TIME = 3


def load_snippets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_snippets", ROOT / "docs" / "snippets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


snippets = load_snippets()
PAGES = {str(page.relative_to(ROOT)): page for page in snippets.pages()}
RUNNING = [name for name, page in PAGES.items() if any(block.runs for block in snippets.blocks(page))]


class Reader:
    """Somebody who follows one page in an empty folder, with a terminal for each command that stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.output = ""
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("THEATER_BUS_", "OTEL_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": str(folder),
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "100",
        }
        self.staying: list[tuple[asyncio.subprocess.Process, asyncio.Task[None]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, draining in reversed(self.staying):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(COMMAND_S):
                await draining
                status = await process.wait()
            assert status == 0 or error is not None, "a command that stays must end in order when it is told to"

    async def follow(self, block: Any) -> None:
        """Do what the block says."""
        if "file" in block.marks:
            path = self.folder / block.marks["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.localised(block.text), "utf-8")
        elif "output" in block.marks:
            assert_prints(block.text.splitlines(), self.output, block.place)
        elif "stays" in block.marks:
            [(command, _)] = snippets.commands(block)
            await self.start(command, block.marks["stays"], block.place)
        elif block.runs and block.language == "python":
            await self.run([sys.executable, "-c", self.localised(block.text)], block.place)
        elif block.runs:
            await self.type(block)

    async def type(self, block: Any) -> None:
        """Type the commands of a console block and compare what they print."""
        typed = snippets.commands(block)
        for number, (command, expected) in enumerate(typed, 1):
            status = int(block.marks.get("exit", "0")) if number == len(typed) else 0
            words = shlex.split(self.localised(command))
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                self.environment[name] = value
                continue
            if words[:3] == ["nats", "req", "--raw"]:
                # The `nats` program is no Python package; what it sends and prints is this.
                self.output = await self.nats_request(words[3], words[4])
            else:
                await self.run(words, f"{block.place}: $ {command}", status)
            if expected:
                assert_prints(expected, self.output, f"{block.place}: $ {command}")

    async def run(self, words: list[str], place: str, status: int = 0) -> None:
        """Run a command to its end."""
        process = await self.process(words)
        async with asyncio.timeout(COMMAND_S):
            printed, _ = await process.communicate()
        self.output = printed.decode()
        assert process.returncode == status, f"{place} ended with {process.returncode}:\n{self.output}"

    async def start(self, command: str, word: str, place: str) -> None:
        """Start a command that stays, and wait for its word."""
        words = shlex.split(self.localised(command))
        if "--embedded" in words:
            words += ["--port", "0"]
        # Two streams into one pipe could mix within a line, and the address is read from a line.
        log = self.folder / f".stderr-{len(self.staying)}"
        with log.open("wb") as errors:
            process = await self.process(words, errors)
        said: list[str] = []
        has_said = asyncio.Event()

        async def drain() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                said.append(line.decode())
                if word in said[-1]:
                    has_said.set()
            has_said.set()

        self.staying.append((process, asyncio.create_task(drain())))
        async with asyncio.timeout(COMMAND_S):
            await has_said.wait()
        printed = "".join(said)
        assert word in printed, f"{place}: $ {command} never said {word!r}:\n{printed}{log.read_text()}"
        if found := re.search(r"nats://[\w.]+:\d+", printed):
            self.address = self.environment["THEATER_BUS_SERVERS"] = found[0]

    async def process(self, words: list[str], errors: Any = asyncio.subprocess.STDOUT) -> asyncio.subprocess.Process:
        if words[0] == "python":
            words = [sys.executable, *words[1:]]
        found = Path(sys.executable).parent / words[0]
        return await asyncio.create_subprocess_exec(
            str(found) if found.is_file() else words[0],
            *words[1:],
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )

    async def nats_request(self, subject: str, body: str) -> str:
        async with self.plain_client() as client:
            reply = await client.request(subject, body.encode(), timeout=5)
        return f"{reply.data.decode()}\n"

    @asynccontextmanager
    async def plain_client(self) -> AsyncIterator[Any]:
        client = await nats.connect(self.address)
        try:
            yield client
        finally:
            await client.close()

    def localised(self, text: str) -> str:
        """The text with this test's server in the place of the published one."""
        if PUBLISHED_ADDRESS in text:
            assert self.address, f"nothing on the page has started a server at {PUBLISHED_ADDRESS}"
        return text.replace(PUBLISHED_ADDRESS, self.address)


def assert_prints(expected: list[str], printed: str, place: str) -> None:
    """Compare with what was printed; `…` stands for any text, alone on a line for any lines."""
    while expected and not expected[-1].strip():
        expected = expected[:-1]
    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ \t]*\n"
    assert re.fullmatch(pattern, printed.rstrip("\n") + "\n"), f"{place} printed:\n{printed}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BaseException | None]:
    """How following each page ended. Several at a time, since commands mostly wait for their start."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def follow(name: str) -> None:
        async with turns, Reader(tmp_path_factory.mktemp("page")) as reader:
            for block in snippets.blocks(PAGES[name]):
                await reader.follow(block)

    ends = await asyncio.gather(*map(follow, RUNNING), return_exceptions=True)
    return dict(zip(RUNNING, ends, strict=True))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RUNNING)
def test_a_page_can_be_followed_from_top_to_bottom(name: str, followed: dict[str, BaseException | None]) -> None:
    if (end := followed[name]) is not None:
        raise end


def test_a_page_that_prints_something_else_is_noticed() -> None:
    assert_prints(["a…c", "…", "end"], "abc\nanything\nat all\nend\n", "here")
    with pytest.raises(AssertionError, match="here printed"):
        assert_prints(["a…c"], "abd\n", "here")
