"""The checks of `theater-bus doctor`: each looks at one thing, and says what is wrong with it and what to do."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from time import time
from typing import TYPE_CHECKING, Any, Literal

from theater_bus.errors import (
    ActorError,
    ChannelClosed,
    ConfigurationError,
    ConnectionLost,
    OperationTimeout,
    PermissionDenied,
    TheaterError,
)

if TYPE_CHECKING:
    from theater_bus.bus import BusSettings, Connection

__all__ = ["Finding", "check_machine", "check_server"]

_GUESTS_ENOUGH = 10_000
_MAPS_ENOUGH = 262_144
_SKEW_S = 60.0
"""Beyond this, hosts ignore when a request says that it was sent (wire protocol, `sent_ms`)."""
_PROBE_S = 2.0
_PROBE = "theater-bus-doctor"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    what: str
    fix: str = ""


def check_machine() -> list[Finding]:
    """Python, the engine, nats-server, plugins, the kernel's limits: what needs no connection."""
    return [check() for check in (_python, _wasmtime, _nats_server, _plugins, _variables, _maps)]


async def check_server(settings: BusSettings, namespace: str) -> list[Finding]:
    """The server, JetStream, the hosts, the rules for caller names, the clocks."""
    from theater_bus.bus import Connection

    try:
        connection = await Connection.open(settings)
    except (ConnectionLost, ConfigurationError) as error:
        fix = error.fix or "start one with `theater-bus serve --embedded`, or name another with --server"
        reason = error.reason if isinstance(error, ConnectionLost) else str(error)
        return [Finding("connection", "fail", f"{settings.servers_text}: {reason}", fix)]
    async with connection:
        round_trip_ms = await connection.rtt() * 1000
        server = connection.server
        return [
            Finding("connection", "ok", f"{server.url}, nats-server {server.version}, {round_trip_ms:.1f} ms"),
            _server_version(server.version),
            await _jetstream(connection),
            await _hosts(connection, namespace),
            await _caller_names(connection, namespace),
            await _clock(connection, namespace),
        ]


def _python() -> Finding:
    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("python", "ok", f"{found} at {sys.executable}")
    return Finding("python", "fail", f"{found}", "use Python 3.11, 3.12 or 3.13")


def _wasmtime() -> Finding:
    try:
        from theater_bus.engine import wat2wasm

        wat2wasm("(module)")
        return Finding("wasmtime", "ok", version("wasmtime"))
    except (ImportError, OSError, TheaterError, PackageNotFoundError) as error:
        return Finding("wasmtime", "fail", f"it does not work: {error}", "pip install --force-reinstall wasmtime")


def _nats_server() -> Finding:
    from theater_bus.bus.server import server_binary

    try:
        return Finding("nats-server", "ok", f"{server_binary()}")
    except ConfigurationError as error:
        what = "not installed; `demo` and `serve --embedded` need it, everything else does not"
        return Finding("nats-server", "warn", what, error.fix)


def _plugins() -> Finding:
    from theater_bus.plugins import PluginRegistry

    registry = PluginRegistry.discover()
    bad = [failure.plugin for failure in registry.failures]
    if bad:
        what = f"cannot be used: {', '.join(bad)}"
        return Finding("plugins", "fail", what, "`theater-bus plugins check` says why")
    if not registry.plugins:
        return Finding(
            "plugins", "warn", "none is installed, so guests can import nothing", "pip install theater-bus-runtime"
        )
    return Finding("plugins", "ok", ", ".join(plugin.name for plugin in registry.plugins))


def _variables() -> Finding:
    from theater_bus.cli.variables import PREFIX, settings_variables, strays

    found = strays(os.environ, settings_variables())
    if not found:
        return Finding("variables", "ok", f"every {PREFIX}… variable names a setting")
    what = f"no setting, unless the host's configuration names it: {', '.join(found)}"
    return Finding("variables", "warn", what, "correct the name, or leave it out")


def _maps() -> Finding:
    from theater_bus.engine.capacity import map_budget, maps_of_instance

    guests = map_budget() // maps_of_instance(1)
    what = f"room for about {guests:,} guests in one host (vm.max_map_count)"
    if guests >= _GUESTS_ENOUGH:
        return Finding("memory maps", "ok", what)
    return Finding("memory maps", "warn", what, f"for more: sysctl -w vm.max_map_count={_MAPS_ENOUGH}")


def _server_version(found: str) -> Finding:
    numbers = tuple(int(part) for part in found.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers >= (2, 10):
        return Finding("server version", "ok", found)
    return Finding("server version", "fail", f"{found or 'unknown'}, 2.10 is needed", "update nats-server")


async def _jetstream(connection: Connection) -> Finding:
    if not connection.server.jetstream:
        what = "the server has none: no object store, so packages cannot be sent to hosts"
        return Finding("jetstream", "warn", what, "start nats-server with -js, or use `serve --packages DIR`")
    try:
        answer = await _ask_json(connection, "$JS.API.INFO")
    except TheaterError as error:
        return Finding(
            "jetstream", "fail", f"it does not answer: {error}", "check this user's permissions, and the disk"
        )
    if "error" in answer:
        return Finding("jetstream", "fail", str(answer["error"].get("description")), "enable it for this account")
    return Finding(
        "jetstream", "ok", f"streams: {answer.get('streams', 0)}, bytes stored: {answer.get('storage', 0):,}"
    )


async def _hosts(connection: Connection, namespace: str) -> Finding:
    from theater_bus.core.wire.subjects import Subjects

    subject = Subjects(namespace).fleet("ping")
    try:
        found = [reply async for reply in connection.request_many(subject, b"{}", timeout_s=0.5, stall_s=0.1)]
    except TheaterError as error:
        return Finding("hosts", "fail", f"they cannot be asked: {error}", "check this user's permissions")
    if not found:
        return Finding(
            "hosts", "warn", f"none answers in namespace {namespace!r}", "start one with `theater-bus serve`"
        )
    return Finding("hosts", "ok", f"{len(found)} in namespace {namespace!r}")


async def _caller_names(connection: Connection, namespace: str) -> Finding:
    """Whether this user could call under names that are not its own; then such names prove nothing."""
    from theater_bus.core.wire.subjects import Subjects

    prefix = Subjects(namespace).ops_prefix(_PROBE)
    allowed = []
    for tail in (f"probe.@.{_PROBE}", f"probe.@actor.{_PROBE}", f"a.probe.@.{_PROBE}", f"a.probe.@actor.{_PROBE}"):
        try:
            await connection.request_one(prefix + tail, b"", timeout_s=_PROBE_S)
        except PermissionDenied:
            continue
        except (ChannelClosed, OperationTimeout, ActorError):
            pass
        allowed.append(tail.partition("probe.")[2].partition(".")[0])
    if not allowed:
        return Finding("caller names", "ok", "this user cannot call under a foreign name")
    names = " and ".join(f".{kind}." for kind in sorted(set(allowed)))
    what = f"this user may call under any name ({names}), so names prove nothing"
    return Finding(
        "caller names", "warn", what, "keep caller_subjects = false, or deny these subjects (infra/nats shows how)"
    )


async def _clock(connection: Connection, namespace: str) -> Finding:
    """The server's clock against ours, from a stream's own description."""
    from theater_bus.core.wire.subjects import Subjects

    subjects = Subjects(namespace)
    for stream in (f"OBJ_{subjects.objects_bucket}", subjects.chain_stream):
        before = time()
        try:
            stamp = (await _ask_json(connection, f"$JS.API.STREAM.INFO.{stream}")).get("ts")
        except TheaterError:
            continue
        if not isinstance(stamp, str):
            continue
        after = time()
        skew_s = datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC).timestamp() - (before + after) / 2
        if abs(skew_s) <= _SKEW_S:
            return Finding("clock", "ok", f"within {max(1, round(abs(skew_s)))} s of the server's")
        what = f"{abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} the server's"
        return Finding("clock", "fail", what, "synchronise the clocks (NTP); deadlines suffer beyond 60 s")
    return Finding("clock", "ok", "not measured: the namespace has no stream yet that would tell the time")


async def _ask_json(connection: Connection, subject: str) -> dict[str, Any]:
    from theater_bus.core.wire.strict import read_json

    reply = await connection.request_one(subject, b"", timeout_s=_PROBE_S)
    answer = read_json(reply.data)
    return answer if isinstance(answer, dict) else {}
