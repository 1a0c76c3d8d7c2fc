"""`theater-bus serve`: a host as a process, from its settings to its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.invocation import Invocation

if TYPE_CHECKING:
    from theater_bus.bus import EmbeddedServer
    from theater_bus.host.host import Host
    from theater_bus.host.settings import HostSettings
    from theater_bus.telemetry import Level, Telemetry

__all__ = ["command"]

_DEFAULT_PORT = 4222


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line asks for, beside the host's own settings."""

    embedded: bool
    port: int
    data: Path | None
    metrics_port: int | None
    level: Level
    listed: tuple[str, ...]


@define("serve", short_help="Run a host: the process that actors live in.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    envvar="THEATER_BUS_DATA_DIR",
    help="Keep the chains of `file` actors here, and bring those actors back at the next start.",
)
@click.option(
    "--packages",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    envvar="THEATER_BUS_PACKAGES_DIR",
    help="Find modules here by their digest, as well as in the object store.",
)
@click.option(
    "--package-hosts",
    metavar="HOST,…",
    envvar="THEATER_BUS_PACKAGE_HOSTS",
    help="Fetch packages that manifests name by address and digest from these hosts.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    envvar="THEATER_BUS_CONFIG",
    help="Values and secrets for actors, and what the host sets for capabilities (TOML).",
)
@click.option(
    "--host-id", metavar="ID", envvar="THEATER_BUS_HOST_ID", help="The host's name; by default machine and pid."
)
@click.option("--embedded", is_flag=True, help="Start a nats-server with JetStream too, for development.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=_DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
    help="Port of the embedded server; 0 takes a free one.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Answer /metrics for Prometheus on 127.0.0.1; 0 takes a free port.",
)
@click.option(
    "--otlp", metavar="ENDPOINT", help="Send traces and metrics to this OpenTelemetry collector (OTLP over HTTP)."
)
@click.option(
    "--telemetry",
    "level",
    type=click.Choice(["off", "metrics", "traces"]),
    default="traces",
    show_default=True,
    envvar="THEATER_BUS_TELEMETRY",
    help="What is measured at most; traces include metrics.",
)
@click.option(
    "--telemetry-actors",
    "listed",
    metavar="ID,…",
    default="",
    envvar="THEATER_BUS_TELEMETRY_ACTORS",
    help="Actors that get metrics of their own, 200 at most.",
)
@click.option(
    "--log",
    "log_format",
    type=click.Choice(["console", "json"]),
    default="console",
    show_default=True,
    help="On stderr.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    envvar="THEATER_BUS_LOG_LEVEL",
    help="What is logged at least.",
)
@click.option("--production", is_flag=True, help="Import only the plugins that THEATER_BUS_PLUGINS_ALLOW names.")
def command(
    invocation: Invocation,
    data: Path | None,
    packages: Path | None,
    package_hosts: str | None,
    config: Path | None,
    host_id: str | None,
    embedded: bool,
    port: int,
    metrics_port: int | None,
    otlp: str | None,
    level: Any,
    listed: str,
    log_format: Any,
    log_level: str,
    production: bool,
) -> None:
    """Run a host until SIGTERM or Ctrl-C, then stop its actors in order.

    One line on stdout says when it is ready. All other settings are the THEATER_BUS_* variables.
    """
    from theater_bus.telemetry import configure_logging

    invocation.doing = "serve"
    context = click.get_current_context()
    if embedded and "server" in invocation.typed:
        raise UsageProblem("--embedded starts a server of its own, --server names another", "leave one of the two out")
    if not embedded and context.get_parameter_source("port") is ParameterSource.COMMANDLINE:
        raise UsageProblem("--port is that of the embedded server", "add --embedded, or name the server with --server")
    if otlp:
        _check_endpoint(otlp)
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp
    given: dict[str, Any] = {
        "data_dir": data,
        "packages_dir": packages,
        "package_hosts": package_hosts,
        "config": config,
        "host_id": host_id,
        "mode": "production" if production else None,
    }
    actors = tuple(part.strip() for part in listed.split(",") if part.strip())
    wanted = _Wanted(embedded, port, data, metrics_port, level, actors)
    logging = configure_logging(log_format, log_level)
    try:
        _run(_serve(invocation, wanted, {name: value for name, value in given.items() if value is not None}))
    finally:
        logging.close()


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageProblem(f"--otlp {url!r} is no address of a collector", "write http://HOST:4318")


def _run(main: Coroutine[Any, Any, None]) -> None:
    from theater_bus.host.collecting import collecting_rarely

    with collecting_rarely():
        try:
            import uvloop
        except ImportError:
            asyncio.run(main)
        else:
            uvloop.run(main)


async def _serve(invocation: Invocation, wanted: _Wanted, given: dict[str, Any]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with AsyncExitStack() as stack:
            server = None
            if wanted.embedded:
                server = await stack.enter_async_context(_embedded(wanted))
            settings = _settings(invocation, given, server)
            host, telemetry = await _start(stack, settings, wanted)
            metrics_url = await _metrics(stack, telemetry, wanted.metrics_port)
            _say_ready(invocation, host, metrics_url)
            await stop.wait()
            if not invocation.out.is_json:
                print("stopping: actors finish what runs", file=sys.stderr, flush=True)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    invocation.out.line({"event": "stopped", "host": host.id}, lambda: f"stopped: host {host.id}")


@asynccontextmanager
async def _embedded(wanted: _Wanted) -> AsyncIterator[EmbeddedServer]:
    from theater_bus.bus import EmbeddedServer
    from theater_bus.errors import ConfigurationError

    store = None if wanted.data is None else wanted.data / "jetstream"
    server = EmbeddedServer(store_dir=store, port=wanted.port or -1)
    try:
        await server.start()
    except ConfigurationError as error:
        await server.stop()
        if "address already in use" in error.problem:
            raise CommandFailed(
                f"port {wanted.port} is taken, perhaps by a nats-server that runs already",
                "leave out --embedded to use that server, or take another port with --port 0",
            ) from error
        raise
    try:
        yield server
    finally:
        await server.stop()


def _settings(invocation: Invocation, given: dict[str, Any], server: EmbeddedServer | None) -> HostSettings:
    """The host's settings: what was typed, then the variables, then defaults. Raises `ConfigurationError`."""
    from pydantic import ValidationError

    from theater_bus.cli.variables import PREFIX
    from theater_bus.errors import ConfigurationError
    from theater_bus.host.settings import HostSettings

    connection = {
        "servers": invocation.servers if server is None else (server.url,),
        "namespace": invocation.namespace,
        "inbox_prefix": invocation.given["inbox_prefix"],
        "user": invocation.given["user"],
        "password": invocation.given["password"],
        "creds_file": invocation.given["creds"],
    }
    try:
        return HostSettings(**{name: value for name, value in (connection | given).items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "settings"
        told, _, fix = first["msg"].removeprefix("Value error, ").partition(" Fix: ")
        if first["type"] == "string_pattern_mismatch":
            told, fix = "is not a name", "use 1 to 64 of the characters A-Z a-z 0-9 _ -"
        fix = f"{fix}, in" if fix else "correct"
        raise ConfigurationError(
            name, f"{told} (found {str(first['input'])!r:.60})", f"{fix} the option or {PREFIX}{name.upper()}"
        ) from None


async def _start(stack: AsyncExitStack, settings: HostSettings, wanted: _Wanted) -> tuple[Host, Telemetry]:
    from theater_bus.cli.variables import settings_variables, strays
    from theater_bus.host.host import Host
    from theater_bus.telemetry import Telemetry

    telemetry = Telemetry.from_environment(
        service_name="theater-bus-host", level=wanted.level, actors=wanted.listed, host_id=settings.host_id
    )
    for stray in strays(os.environ, settings_variables(), settings.config):
        reason, fix = (
            f"{stray} names no setting",
            "correct it or leave it out; docs/reference/host-settings.md lists all",
        )
        telemetry.event("settings.ignored", host=settings.host_id, reason=reason, fix=fix)
    if settings.data_dir is not None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    host = await Host.start(settings, telemetry=telemetry)
    stack.push_async_callback(host.close)
    return host, telemetry


async def _metrics(stack: AsyncExitStack, telemetry: Telemetry, port: int | None) -> str | None:
    if port is None:
        return None
    from theater_bus.telemetry import MetricsServer

    server = MetricsServer(telemetry.prometheus, port)
    try:
        await server.start()
    except OSError as error:
        raise CommandFailed(
            f"/metrics cannot be served on port {port}: {error.strerror}", "choose another with --metrics-port"
        ) from error
    stack.push_async_callback(server.close)
    return f"http://127.0.0.1:{server.port}/metrics"


def _say_ready(invocation: Invocation, host: Host, metrics_url: str | None) -> None:
    server = host.bus.operations.server.url
    facts = {
        "event": "ready",
        "host": host.id,
        "namespace": host.namespace,
        "server": server,
        "actors": len(host.actors),
        "capabilities": sorted(host.registry.capabilities),
        "metrics": metrics_url,
    }

    def text() -> str:
        count = len(host.actors)
        actors = f", {count} actor{'' if count == 1 else 's'} recovered" if count else ""
        metrics = f", metrics at {metrics_url}" if metrics_url else ""
        return f"ready: host {host.id} serves namespace {host.namespace!r} at {server}{actors}{metrics}"

    with contextlib.suppress(BrokenPipeError):
        invocation.out.line(facts, text)
