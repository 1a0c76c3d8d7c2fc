"""`config` through a real guest on a real host: grants of three sides, a planted secret that is found nowhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus import HostSettings
from theater_bus.capability import Capability, CapabilityError, hide_secrets, with_secrets
from theater_bus.errors import ActorError, ConfigurationError, HandlerError
from theater_bus.telemetry import Telemetry, TraceCollector
from theater_bus.testing import running_host
from theater_bus_config import Config

Operator = Callable[..., dict[str, Any]]


class Courier(Capability):
    """Sends a line to a port of this machine and answers what comes back; `word` says how it fails."""

    name = "courier"
    pact = """
@package: string = "test:courier"
@external: list<string> = ["send"]

interface courier {
    exports { send: func(port: u16, line: string, word: string) -> result<string, string> }
}
"""

    async def send(self, port: int, line: str, word: str) -> str:
        text, secrets = await with_secrets(self.context, line, "127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"{text}\n".encode())
            answer = await reader.readline()
        finally:
            writer.close()
        if word == "err":
            raise CapabilityError(f"as I was told, with {secrets}")
        if word == "raise":
            raise RuntimeError(f"as I was told, with {secrets}")
        return hide_secrets(answer, secrets).decode().strip()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[tuple[int, list[str]]]:
    """A server that sends lines back, and what it got."""
    got: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        got.append(line.decode().strip())
        writer.write(line)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], got


async def test_a_planted_secret_is_found_at_its_destination_and_nowhere_else(
    start_host: Any,
    operator: Operator,
    planted: str,
    echo: tuple[int, list[str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    port, got = echo
    caplog.set_level(logging.DEBUG)
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider)
    host = await start_host(
        Courier,
        installed=["config"],
        telemetry=telemetry,
        data_dir=tmp_path / "data",
        config=operator(hosts=["127.0.0.1"]),
    )
    actor = await host.spawn(
        Courier,
        capabilities={"courier": {}, "config": {"secrets": ["api-key@127.0.0.1"]}},
        chain={"durability": "file"},
    )
    seen: list[Any] = []
    line = "Authorization: Bearer secret:api-key"
    seen.append(await actor.call_function("send", [port, line, ""]))
    seen.append(await actor.call_function("send", [port, line, "err"]))
    with pytest.raises(HandlerError) as caught:
        await actor.call_function("send", [port, line, "raise"])
    seen += [caught.value, caught.value.details]
    seen.append(await actor.call_function("send", [port, "secret:unknown", ""]))
    assert seen[:2] == [[{"ok": line}], [{"err": "as I was told, with (Secret('secret:api-key'),)"}]]
    assert "does not name 'unknown'" in seen[-1][0]["err"]
    seen += [await actor.get_state(), await actor.get_status(), await actor.inspect.manifest(), host.host.settings]
    seen += await actor.get_chain().all()
    await actor.shutdown()
    await telemetry.flush()
    provider.shutdown()
    assert got == [f"Authorization: Bearer {planted}"] * 3
    spans = [span.to_json() for span in collector.spans()]
    assert any("test:courier/courier/send" in span for span in spans)
    kept = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert any(b"secret:api-key" in data for data in kept)
    assert "as I was told" in caplog.text
    assert all(planted.encode() not in data for data in kept)
    assert planted not in "\n".join([caplog.text, *spans, *map(repr, seen), *map(str, seen)])


async def test_what_a_host_grants_cuts_what_a_manifest_asks_for(start_host: Any, operator: Operator) -> None:
    bounds = {"values": ["region"], "secrets": ["api-key@*.a.com"], "reveal": False}
    host = await start_host(
        installed=["config"], grants={"config": bounds}, config=operator(reveal=True, hosts=["x.a.com", "b.com"])
    )
    wishes = {"values": ["region", "limit"], "secrets": ["api-key@x.a.com", "api-key@b.com"], "reveal": True}
    actor = await host.spawn(Config, capabilities={"config": wishes})
    assert await actor.call_function("names") == ["region"]
    assert await actor.call_function("get", ["region"]) == [{"ok": "eu-west-1"}]
    assert "config.reveal" in (await actor.call_function("reveal", ["api-key"]))[0]["err"]
    context = host.host.actors[actor.id].capabilities["config"].context
    assert (await context.secret("secret:api-key", "x.a.com")).handle == "secret:api-key"
    with pytest.raises(CapabilityError, match="its parent and the host must allow"):
        await context.secret("secret:api-key", "b.com")


async def test_a_child_may_not_have_what_its_parent_has_not(start_host: Any, operator: Operator) -> None:
    host = await start_host(installed=["config"], config=operator(hosts=["a.com"]))
    parent = await host.spawn(Config, capabilities={"config": {"values": ["limit"]}})
    wishes = {"values": ["region", "limit"], "secrets": ["api-key@a.com"]}
    child = await host.spawn(Config, parent=parent.id, capabilities={"config": wishes})
    assert await child.call_function("names") == ["limit"]
    assert await child.call_function("secrets") == []


async def test_revealing_is_in_the_log_of_the_spawn_and_in_the_chain(
    start_host: Any, operator: Operator, planted: str, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = Telemetry(level="metrics")
    host = await start_host(installed=["config"], telemetry=telemetry, config=operator(reveal=True))
    actor = await host.spawn(Config, capabilities={"config": {"secrets": ["api-key"], "reveal": True}})
    [record] = [one for one in caplog.records if "config.revealed" in one.getMessage()]
    assert record.levelno == logging.WARNING
    assert await actor.call_function("reveal", ["api-key"]) == [{"ok": planted}]
    assert planted in repr(await actor.get_chain().all())


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"secrets": {"k": {"value": "pl4nted"}}}, r"config\.secrets\.k\.value: is no setting"),
        ({"secrets": {"k": "pl4nted"}}, r"config\.secrets\.k: "),
        ({"k": "pl4nted"}, r"config\.k: is no setting"),
        ({"values": {"k": ["pl4nted"]}}, r"config\.values\.k: "),
        ({"secrets": {"k": {}}}, r"exactly one of file and env"),
        ({"secrets": {"k": {"file": "/a", "env": "B"}}}, r"exactly one of file and env"),
        ({"secrets": {"k k": {"env": "HOME"}}}, r"names no secret"),
        ({"secrets": {"k": {"env": "HOME", "hosts": ["http://a.com"]}}}, r"is no host"),
        ({"secrets": {"k": {"env": "NO_SUCH_VARIABLE"}}}, r"config\.secrets\.k: variable NO_SUCH_VARIABLE: is not set"),
        ({"secrets": {"k": {"file": "/no/such/file"}}}, r"/no/such/file: No such file"),
        ({"secrets": {"k": {"file": "/dev/null"}}}, r"/dev/null: is empty"),
        ({"secrets": {"k": {"file": "/dev/zero"}}}, r"/dev/zero: holds more than 65536 bytes"),
        ({"capabilities": {"config": {"x": 1}}}, r"no capability of this host takes settings"),
        ({"capabilities": {"nobody": {}}}, r"no capability of this host takes settings"),
    ],
)
async def test_a_configuration_that_cannot_be_used_refuses_the_start_and_shows_no_value(
    tables: dict[str, Any], problem: str, theater_server: Any
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        async with running_host(server=theater_server, installed=["config"], namespace="wrong", config=tables):
            pass
    assert "Fix:" in str(caught.value)
    assert "pl4nted" not in str(caught.value)


async def test_a_host_reads_the_file_that_it_is_given(
    tmp_path: Path, theater_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[values]\nregion = "eu"\n')
    monkeypatch.setenv("THEATER_BUS_CONFIG", str(file))
    async with running_host(server=theater_server, installed=["config"], namespace="from-file") as host:
        actor = await host.spawn(Config, capabilities={"config": {"values": ["region"]}})
        assert await actor.call_function("get", ["region"]) == [{"ok": "eu"}]
    monkeypatch.setenv("THEATER_BUS_CONFIG", str(tmp_path / "no-such-file"))
    with pytest.raises(ValueError, match="no-such-file cannot be read: No such file"):
        HostSettings()


async def test_wrong_arguments_end_the_operation_and_not_the_actor(start_host: Any, operator: Operator) -> None:
    host = await start_host(installed=["config"], config=operator())
    actor = await host.spawn(Config, capabilities={"config": {"values": ["region"]}})
    for wrong in ([7], [None], [], ["a", "b"]):
        with pytest.raises(ActorError):
            await actor.call_function("get", wrong)
    assert await actor.call_function("get", ["region"]) == [{"ok": "eu-west-1"}]
