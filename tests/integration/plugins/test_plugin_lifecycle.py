"""Plugins around the life of hosts and actors: hooks, failures that are named, and grants."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from theater_bus.capability import HOSTS, NUMBER, Settings
from theater_bus.core.grants import Grants
from theater_bus.errors import ActorNotFound, ChannelClosed, ConfigurationError, PluginError, SpawnRefused
from theater_bus.host.host import Host
from theater_bus.host.settings import HostSettings
from theater_bus.plugins import PluginRegistry
from theater_bus.testing import running_host


@pytest.fixture
def counter(guest_of: Any) -> Any:
    """The counter, as each kind in turn."""
    return guest_of("counter")


async def test_hooks_run_at_their_moments_of_an_actors_life(start_host: Any, plugin: Any, tool: Any) -> None:
    seen: list[str] = []

    async def starting(actor: Any) -> None:
        await asyncio.sleep(0)
        seen.append(f"starting {actor.id} {actor.name}")

    async def stopping(actor: Any, reason: str) -> None:
        assert tool.instances[-1].context.actor.id == actor.id
        seen.append(f"stopping {reason}")

    host = await start_host(
        tool,
        plugin(
            "life",
            theater_actor_starting=starting,
            theater_actor_stopping=stopping,
            theater_actor_stopped=lambda actor, reason: seen.append(f"stopped {reason} {actor.id in host.host.actors}"),
        ),
    )
    actor = await host.spawn(tool, id="t", name="teller")
    assert seen == ["starting t teller"]
    await actor.shutdown()
    assert seen[1:] == ["stopping shutdown", "stopped shutdown False"]


@pytest.mark.parametrize("way", ["raises", "hangs"])
async def test_a_starting_hook_that_fails_refuses_the_spawn_and_names_its_plugin(
    start_host: Any, counter: Any, plugin: Any, way: str
) -> None:
    stopped: list[str] = []

    async def starting(actor: Any) -> None:
        if way == "raises":
            raise ValueError("no licence")
        await asyncio.Event().wait()

    licence = plugin(
        "licence",
        theater_actor_starting=starting,
        theater_actor_stopping=lambda actor: stopped.append(actor.id),
    )
    host = await start_host(licence, hook_bound_s=0.05)
    expected = "ValueError: no licence" if way == "raises" else "TimeoutError: it did not end within 0.05 s"
    with pytest.raises(SpawnRefused, match=f"plugin 'licence' refused the start: {expected}"):
        await host.spawn(counter, id="c")
    assert host.host.actors == {}
    with pytest.raises((ActorNotFound, ChannelClosed)):
        await host.theater.actor("c").call_function("get")
    with pytest.raises(SpawnRefused):
        await host.spawn(counter, id="c")


async def test_stopping_hooks_that_fail_are_logged_by_name_and_stop_nothing(
    start_host: Any, counter: Any, plugin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host = await start_host(plugin("clumsy", theater_actor_stopping=lambda: 1 / 0, theater_actor_stopped=lambda: 1 / 0))
    actor = await host.spawn(counter)
    with caplog.at_level(logging.ERROR):
        await actor.shutdown()
    assert host.host.actors == {}
    assert "plugin clumsy failed in theater_actor_stopping" in caplog.text
    assert "plugin clumsy failed in theater_actor_stopped" in caplog.text


async def test_a_host_starts_and_stops_with_its_plugins(theater_server: Any, plugin: Any) -> None:
    seen: list[Any] = []
    life = plugin(
        "life",
        theater_host_starting=lambda host, namespace: seen.append(("starting", host, namespace)),
        theater_host_stopping=lambda host: seen.append(("stopping", host)),
    )
    async with running_host(life, server=theater_server, namespace="hosted", host_id="h1"):
        assert seen == [("starting", "h1", "hosted")]
    assert seen[1:] == [("stopping", "h1")]


async def test_a_plugin_that_refuses_the_hosts_start_is_named(theater_server: Any, plugin: Any) -> None:
    with pytest.raises(PluginError, match="plugin 'strict' cannot be used") as caught:
        async with running_host(plugin("strict", theater_host_starting=lambda: 1 / 0), server=theater_server):
            raise AssertionError("the host must not start")
    assert "ZeroDivisionError: division by zero" in str(caught.value)


async def test_a_bad_plugin_does_not_stop_a_host_except_in_production(
    theater_server: Any, plugin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def registry() -> PluginRegistry:
        return PluginRegistry.discover(found=[], extra=[("bad", plugin("bad", theater_cli=lambda: 1 / 0))])

    settings: dict[str, Any] = {"servers": (theater_server.url,), "namespace": "bad-plugin"}
    async with await Host.start(HostSettings(**settings), registry=registry()):
        assert "plugin 'bad' cannot be used" in caplog.text
    with pytest.raises(PluginError, match="plugin 'bad' cannot be used"):
        await Host.start(HostSettings(**settings, mode="production"), registry=registry())


# -- grants ------------------------------------------------------------------------------------------------------------


class Bounded(Settings):
    hosts: Annotated[tuple[str, ...], HOSTS] = ()
    timeout_ms: Annotated[int, NUMBER] = 5000
    mode: str = "safe"


def bounded(tool: Any) -> Any:
    return type("BoundedTool", (tool,), {"Settings": Bounded})


async def test_an_actor_gets_what_manifest_host_and_parent_allow_together(start_host: Any, tool: Any) -> None:
    tool = bounded(tool)
    host = await start_host(tool, grants={"tool": {"hosts": ["*.example.com"], "timeout_ms": 3000}})
    asked = {"hosts": ["api.example.com", "evil.org"], "timeout_ms": 60_000}
    await host.spawn(tool, id="parent", capabilities={"tool": asked})
    settings = tool.instances[-1].settings
    assert settings == Bounded(hosts=("api.example.com",), timeout_ms=3000)
    assert tool.instances[-1].context.grants == settings.model_dump(mode="json")
    await host.spawn(tool, id="child", parent="parent", capabilities={"tool": {"hosts": ["*.example.com"]}})
    assert tool.instances[-1].settings == Bounded(hosts=("api.example.com",), timeout_ms=3000)
    assert host.host.actors["child"].grants == host.host.actors["parent"].grants


async def test_genesis_names_the_digest_of_the_grants(start_host: Any, tool: Any, bodies: Any) -> None:
    tool = bounded(tool)
    host = await start_host(tool)
    actor = await host.spawn(tool, id="t")
    [genesis] = await bodies(actor, "genesis")
    grants = host.host.actors["t"].grants
    assert genesis.grants == grants.digest
    assert Grants.from_plain(grants.to_plain()) == grants


@pytest.mark.parametrize(
    ("policy", "asked", "problem"),
    [
        ({}, {}, "capability 'tool' is not granted by the host. Fix: add .grants.tool. to the host's grants"),
        ({"tool": {"mode": "fast"}}, {}, "tool.mode: nothing; the manifest asks for safe, the host allows fast"),
        ({"*": {}}, {"timeout_ms": "much"}, r"\[capabilities.tool\]: timeout_ms: Input should be a valid integer"),
        ({"*": {}}, {"hosts": ["http://x"]}, r"\[capabilities.tool\]: hosts 'http://x' is no host"),
        (
            {"*": {}},
            {"host": []},
            r"host: is no setting, did you mean hosts\?. Fix: its settings are hosts, mode, timeout_ms",
        ),
    ],
)
async def test_what_is_not_granted_refuses_the_spawn_and_says_what_to_add(
    start_host: Any, tool: Any, policy: Any, asked: Any, problem: str
) -> None:
    tool = bounded(tool)
    host = await start_host(tool, grants=policy)
    with pytest.raises(SpawnRefused, match=problem):
        await host.spawn(tool, id="t", capabilities={"tool": asked})
    assert host.host.actors == {}
    assert tool.instances == []


async def test_a_child_has_nothing_that_its_parent_lacks(start_host: Any, counter: Any, tool: Any) -> None:
    host = await start_host(tool)
    await host.spawn(counter, id="poor")
    with pytest.raises(SpawnRefused, match="capability 'tool' is not granted by the parent"):
        await host.spawn(tool, parent="poor")
    with pytest.raises(SpawnRefused, match="the parent 'nobody' does not run on this host"):
        await host.spawn(tool, parent="nobody")


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"tol": {}}, "grants.tol: no plugin of this host offers it; did you mean 'tool'"),
        ({"tool": {"host": []}}, "grants.tool: host is no setting"),
        ({"tool": {"timeout_ms": "much"}}, "grants.tool: timeout_ms must be a number"),
        ({"*": {"timeout_ms": 5}}, "grants.*: it holds bounds"),
    ],
)
async def test_a_policy_for_what_nobody_offers_stops_the_host(
    theater_server: Any, tool: Any, policy: Any, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with running_host(bounded(tool), server=theater_server, grants=policy):
            raise AssertionError("the host must not start")
    assert problem in str(caught.value)


def test_a_policy_may_be_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "grants.toml"
    file.write_text('[grants.http-client]\nhosts = ["*.example.com"]\n[grants."*"]\n')
    assert HostSettings(grants=file).grants == {"http-client": {"hosts": ["*.example.com"]}, "*": {}}
    file.write_text("[grant.http-client]\n")
    with pytest.raises(ValidationError, match=r"must hold the table \[grants\] and nothing else"):
        HostSettings(grants=file)


async def test_a_recovered_actor_keeps_what_was_recorded_under_a_more_generous_host(
    theater_server: Any, tool: Any, tmp_path: Path
) -> None:
    tool = bounded(tool)
    options: dict[str, Any] = {"server": theater_server, "namespace": "kept", "data_dir": tmp_path}
    asked = {"tool": {"hosts": ["api.example.com"], "timeout_ms": 4000}}
    async with running_host(tool, **options, grants={"tool": {"timeout_ms": 3000}}) as host:
        await host.spawn(tool, id="t", capabilities=asked, chain={"durability": "file"})
    async with running_host(tool, **options) as host:
        assert host.host.actors["t"].identity.id == "t"
        assert tool.instances[-1].settings.timeout_ms == 3000
    async with running_host(tool, **options, grants={"tool": {"timeout_ms": 1000}}):
        assert tool.instances[-1].settings.timeout_ms == 1000
