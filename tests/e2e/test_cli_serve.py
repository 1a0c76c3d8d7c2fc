"""A host as a process: its end by signals, what comes back after a crash, permissions, and false starts."""

from __future__ import annotations

import asyncio
import json
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from theater_bus.bus import EmbeddedServer

from .conftest import PATIENCE_S, Serve, Served, quick, run

USERS = """
authorization {
  users = [
    {user: host, password: secret}
    {user: reader, password: secret, permissions: {
      publish: {deny: ["theater.*.control.>", "theater.*.ops.*.*.@.>", "theater.*.ops.*.*.*.@.>",
                       "theater.*.ops.*.*.@actor.>", "theater.*.ops.*.*.*.@actor.>"]}
    }}
  ]
}
"""


async def test_after_kill_9_file_actors_come_back_and_memory_ones_do_not(
    serve: Serve, guests: Path, tmp_path: Path
) -> None:
    async with EmbeddedServer() as server:
        words = ("--server", server.url, "--data", str(tmp_path))
        first = await asyncio.to_thread(serve, *words)
        for name, manifest in (("kept", "durable.toml"), ("lost", "counter.toml")):
            await asyncio.to_thread(first.quick, "spawn", str(guests / manifest), "--id", name)
            await asyncio.to_thread(first.quick, "call", name, "increment", "5")
        await asyncio.to_thread(first.end, signal.SIGKILL)
        second: Served = await asyncio.to_thread(serve, *words)
        assert second.ready["actors"] == 1
        kept = await asyncio.to_thread(second.quick, "call", "kept", "increment", "1")
        lost = await asyncio.to_thread(second.quick, "call", "lost", "get", "-o", "json")
        verdict = await asyncio.to_thread(second.quick, "chain", "kept", "--verify")
        assert kept.out == "6\n"
        assert (lost.code, lost.error["code"]) == (3, "actor-not-found")
        assert verdict.out.startswith("intact")
        ended = await asyncio.to_thread(second.end, signal.SIGTERM)
        assert ended.code == 0
        assert ended.lines[-1]["event"] == "stopped"


async def test_sigterm_lets_the_running_operation_finish(serve: Serve, guests: Path) -> None:
    async with EmbeddedServer() as server:
        host = await asyncio.to_thread(serve, "--server", server.url)
        await asyncio.to_thread(host.quick, "spawn", str(guests / "chaos.toml"), "--id", "worker")
        call = asyncio.create_task(asyncio.to_thread(host, "call", "worker", "work", "400"))
        async with asyncio.timeout(PATIENCE_S):
            while (await asyncio.to_thread(host.quick, "status", "worker", "-o", "json")).json["running"] is None:
                assert not call.done(), (await call).err
        ended = await asyncio.to_thread(host.end, signal.SIGTERM)
        answered = await call
    assert ended.code == 0
    assert answered.code == 0, answered.err


async def test_permissions_are_shown_as_what_they_are(serve: Serve, guests: Path) -> None:
    async with EmbeddedServer(config=USERS) as server:
        refused = await asyncio.to_thread(quick, "ps", "--server", server.url, "-o", "json")
        assert (refused.code, refused.error["code"]) == (6, "no-connection")
        secret = {"THEATER_BUS_SERVERS": server.url, "THEATER_BUS_PASSWORD": "secret"}
        await asyncio.to_thread(serve, **secret, THEATER_BUS_USER="host")
        spawned = await asyncio.to_thread(
            quick, "spawn", str(guests / "counter.toml"), "--id", "c", THEATER_BUS_USER="host", **secret
        )
        assert spawned.code == 0, spawned.err
        reader = {"THEATER_BUS_USER": "reader", **secret}
        called = await asyncio.to_thread(quick, "call", "c", "increment", "5", **reader)
        stopped = await asyncio.to_thread(quick, "stop", "c", "-o", "json", **reader)
        examined = await asyncio.to_thread(quick, "doctor", "-o", "json", **reader)
    assert called.out == "5\n"
    assert (stopped.code, stopped.error["code"]) == (4, "permission-denied")
    verdicts = {finding["name"]: finding["verdict"] for finding in examined.json["findings"]}
    assert verdicts["caller names"] == "ok"


def test_a_port_that_is_taken_is_said_so(host: Served) -> None:
    port = host.url.rpartition(":")[2]
    done = run("serve", "--embedded", "--port", port)
    assert done.code == 1
    assert f"port {port} is taken" in done.err
    assert "--port 0" in done.err


def test_a_setting_that_cannot_be_used_is_named() -> None:
    done = quick("serve", "--namespace", "a.b", "--server", "nats://127.0.0.1:1")
    assert (done.code, "namespace" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "variables", "told"),
    [
        (("--host-id", "a b"), {}, "host_id: is not a name (found 'a b')"),
        ((), {"THEATER_BUS_CONFIG": "CONFIG"}, "config: Expected"),
        ((), {"THEATER_BUS_MAX_ACTORS": "x"}, "correct the option or THEATER_BUS_MAX_ACTORS"),
        ((), {"THEATER_BUS_TLS_KEY": "/k.pem"}, "a client certificate is a pair"),
        ((), {"THEATER_BUS_TLS_CA": "/nowhere.pem"}, "Fix: give PEM files"),
        (("--otlp", "collector:4318"), {}, "write http://HOST:4318"),
        (("--otlp", "http://c:x"), {}, "write http://HOST:4318"),
        (("--telemetry-actors", "a,b c"), {}, "'b c' is no id of an actor"),
        (("--telemetry-actors", ",".join(map(str, range(201)))), {}, "201 are listed"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_setting_that_cannot_be_used_is_told_in_our_words(
    words: tuple[str, ...], variables: dict[str, str], told: str, tmp_path: Path
) -> None:
    (tmp_path / "wrong.toml").write_text("[values\n")
    given = {name: str(tmp_path / "wrong.toml") if value == "CONFIG" else value for name, value in variables.items()}
    done = quick("serve", "--server", "nats://127.0.0.1:1", *words, **given)
    assert done.code == 2
    assert told in done.err
    assert done.err.splitlines()[-1].startswith("  Fix: ")
    assert "Value error" not in done.err


def test_a_variable_that_names_no_setting_is_warned_of(serve: Serve) -> None:
    ended = serve(
        "--embedded", "--port", "0", "--log", "json", THEATER_BUS_SERVRS="x", THEATER_BUS_PORT="tcp://h"
    ).end()
    logged = [json.loads(line) for line in ended.err.splitlines()]
    (warned,) = [line for line in logged if line["event"] == "settings.ignored"]
    assert "THEATER_BUS_SERVRS (did you mean THEATER_BUS_SERVERS?) names no setting" in warned["reason"]
    done = quick("doctor", "--server", "nats://127.0.0.1:1", THEATER_BUS_SERVRS="x")
    assert "warn  variables" in done.out


async def test_production_loads_no_plugin_unasked_and_packages_come_from_a_folder(serve: Serve, guests: Path) -> None:
    async with EmbeddedServer(jetstream=False) as server:
        words = ("--server", server.url, "--production", "--packages", str(guests), "--log", "json")
        host = await asyncio.to_thread(serve, *words)
        assert host.ready["capabilities"] == []
        spawned = await asyncio.to_thread(host.quick, "spawn", str(guests / "counter.toml"), "--id", "c")
        refused = await asyncio.to_thread(host.quick, "spawn", str(guests / "chaos.toml"), "-o", "json")
        ended = await asyncio.to_thread(host.end)
    assert spawned.out == "c\n"
    assert (refused.code, refused.error["code"]) == (4, "spawn-refused")
    assert "runtime" in refused.error["why"]
    logged = [json.loads(line) for line in ended.err.splitlines()]
    assert "actor.started" in [line["event"] for line in logged]


class Collector(BaseHTTPRequestHandler):
    """Takes everything, and notes where it was sent to."""

    paths: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_traces_and_metrics_go_to_the_collector_that_is_named(serve: Serve, guests: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        host = serve("--embedded", "--port", "0", "--otlp", f"http://127.0.0.1:{collector.server_port}")
        host.quick("spawn", str(guests / "counter.toml"), "--id", "c")
        host.quick("call", "c", "increment", "5")
        assert host.end().code == 0
        collector.shutdown()
    assert {"/v1/traces", "/v1/metrics"} <= set(Collector.paths)


def test_init_warns_of_a_capability_that_no_plugin_here_has(host: Served) -> None:
    done = host.quick("init", "--namespace", "prepared", "--capability", "stor", "--capability", "store")
    assert done.code == 0, done.err
    assert done.err == "warning: no plugin installed here offers a capability 'stor'; did you mean 'store'?\n"


def test_a_broken_plugin_is_logged_once_and_the_others_go_on(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "bad_plugin.py").write_text("import nothing_of_this_name\n")
    metadata = tmp_path / "bad_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[theater_bus]\nbad = bad_plugin\n")
    words = ("--embedded", "--port", "0", "--metrics-port", "0")
    said = serve(*words, PYTHONPATH=str(tmp_path)).end().err
    assert said.count("plugin.refused") == 1, said
    assert said.count("nothing_of_this_name") == 1, said
