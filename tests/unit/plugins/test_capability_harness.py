"""The harness for plugin authors behaves as a host does: conversions, context, bounds, life."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.capability import Capability, CapabilityError, Settings, blocking
from theater_bus.errors import ActorNotFound, ConfigurationError, Overloaded, PluginError, SpawnRefused, TypeMismatch
from theater_bus.testing import capability_harness


class Desk(Capability):
    name = "desk"
    pact = """
        interface desk {
            @package: string = "test:desk"
            exports {
                join: func(left-part: string, right: list<u8>) -> result<string, string>
                key: func() -> string
                wait: func()
                ask: func(actor: string) -> u64
            }
        }
    """

    class Settings(Settings):
        mark: str = "-"

    life: list[str]

    def __init__(self, context: Any, settings: Any) -> None:
        super().__init__(context, settings)
        self.life = []

    async def start(self) -> None:
        self.life.append("started")

    async def stop(self) -> None:
        self.life.append("stopped")

    def snapshot(self) -> bytes:
        return b"kept"

    def restore(self, snapshot: bytes) -> None:
        self.life.append(snapshot.decode())

    def join(self, left_part: str, right: bytes) -> str:
        if not left_part:
            raise CapabilityError("nothing to join")
        return left_part + self.settings.mark + right.decode()

    @blocking
    def key(self) -> str:
        return f"{self.context.call_id} {self.context.effect_key}"

    async def wait(self) -> None:
        await asyncio.Event().wait()

    async def ask(self, actor: str) -> int:
        return int(await self.context.call_actor(actor, "get", [1]))


async def test_a_capability_lives_as_in_a_host() -> None:
    async with capability_harness(Desk, snapshot=b"kept") as desk:
        assert desk.instance.life == ["kept", "started"]
    assert desk.instance.life == ["kept", "started", "stopped"]


async def test_parameters_may_be_named_and_settings_are_checked() -> None:
    async with capability_harness(Desk, {"mark": "+"}) as desk:
        assert await desk.call("join", "a", b"b") == "a+b"
        assert await desk.call("join", left_part="a", right=b"b") == "a+b"
        with pytest.raises(CapabilityError, match="nothing to join"):
            await desk.call("join", "", b"")
    with pytest.raises(SpawnRefused, match="settings are mark"):
        async with capability_harness(Desk, {"mrak": "+"}):
            pass


async def test_wrong_calls_are_refused_with_what_would_be_right() -> None:
    async with capability_harness(Desk) as desk:
        with pytest.raises(TypeError, match="join takes left_part, right, and got 'a'"):
            await desk.call("join", "a")
        with pytest.raises(TypeError, match="key takes nothing, and got x"):
            await desk.call("key", x=1)
        with pytest.raises(TypeMismatch, match="bytes"):
            await desk.call("join", "a", "text")
        with pytest.raises(ConfigurationError, match=r"'jion' is not in the pact. Fix: one of: test:desk/desk.join"):
            await desk.call("jion")
        with pytest.raises(TimeoutError):
            await desk.call("wait", timeout_s=0.01)


async def test_a_class_that_does_not_agree_with_its_pact_opens_no_harness() -> None:
    wrong = type("Wrong", (Desk,), {"join": lambda self, only: only})
    with pytest.raises(PluginError, match="it does not take 2 parameters"):
        async with capability_harness(wrong):
            pass


async def test_the_context_knows_a_call_only_while_it_lasts() -> None:
    async with capability_harness(Desk) as desk:
        first, second = [str(await desk.call("key")).split() for _ in range(2)]
        assert (first[0], second[0]) == ("0", "1")
        assert first[1] != second[1]
        for name in ("deadline", "call_id", "effect_key"):
            with pytest.raises(LookupError):
                getattr(desk.context, name)


async def test_what_a_capability_asks_of_its_host_is_kept() -> None:
    async with capability_harness(Desk) as desk:
        context = desk.context
        with pytest.raises(ActorNotFound, match=r"Fix: set context\.actors"):
            await desk.call("ask", "peer")

        async def actors(actor: str, function: str, params: list[Any]) -> Any:
            assert (actor, function, params) == ("peer", "get", [1])
            return 7

        context.actors = actors
        assert await desk.call("ask", "peer") == 7
        context.log.warning("desk.full", size=3)
        context.report_failure("paper jam")
        for _ in range(64):
            context.enqueue("tick")
        with pytest.raises(Overloaded):
            context.enqueue("tick")
        assert context.log.records == [("warning", "desk.full", {"size": 3})]
        assert context.failures == ["paper jam"]
        assert context.enqueued == [("tick", [])] * 64
