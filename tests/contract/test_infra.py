"""infra/ holds together: what is mounted exists, ports and names agree, NATS takes the configuration, roles work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from theater_bus import BusSettings, EmbeddedServer, Host, HostSettings, connect
from theater_bus.bus.server import server_binary
from theater_bus.errors import PermissionDenied
from theater_bus.testing import relay_guest
from theater_bus.testing.guests import guest
from theater_bus_store import Store

INFRA = Path(__file__).resolve().parents[2] / "infra"
ROLES = ("alice", "observer", "operator", "host", "init")


def read_yaml(path: Path) -> Any:
    """A file in the part of YAML that ours keep to: block maps and lists, one-line flow lists, plain or quoted scalars.

    Anything else fails, so that no file can leave that part unnoticed.
    """
    lines = [
        (len(line) - len(line.lstrip()), line.strip())
        for line in path.read_text("utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    value, rest = _node(lines, lines[0][0])
    assert not rest, f"{path}: cannot read from {rest[0]}"
    return value


Lines = list[tuple[int, str]]


def _node(lines: Lines, indent: int) -> tuple[Any, Lines]:
    return _list(lines, indent) if lines[0][1].startswith("- ") else _map(lines, indent)


def _list(lines: Lines, indent: int) -> tuple[list[Any], Lines]:
    items = []
    while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
        text = lines[0][1][2:].strip()
        if re.match(r"[\w./-]+:( |$)", text):
            item, lines = _map([(indent + 2, text), *lines[1:]], indent + 2)
        else:
            item, lines = _scalar(text), lines[1:]
        items.append(item)
    return items, lines


def _map(lines: Lines, indent: int) -> tuple[dict[str, Any], Lines]:
    found: dict[str, Any] = {}
    while lines and lines[0][0] == indent:
        key = re.match(r"([\w./-]+):(?: +(.+))?$", lines[0][1])
        assert key, f"no key in {lines[0][1]!r}"
        assert key[1] not in found, f"{key[1]} stands twice"
        lines = lines[1:]
        if key[2] is not None:
            found[key[1]] = _scalar(key[2])
        elif lines and (lines[0][0] > indent or (lines[0][0] == indent and lines[0][1].startswith("- "))):
            found[key[1]], lines = _node(lines, lines[0][0])
        else:
            found[key[1]] = None
    return found, lines


def _scalar(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return [_scalar(item.strip()) for item in re.findall(r'"[^"]*"|[^,\[\]]+', text[1:-1]) if item.strip()]
    if text.startswith('"'):
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', text), text
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    assert not re.match(r"[\[{&*!|>'%@`]", text), f"this reader knows no {text!r}"
    assert ": " not in text, text
    assert " #" not in text, text
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d+", text) else text


FILES = {str(path.relative_to(INFRA)): path for path in sorted([*INFRA.rglob("*.yaml"), *INFRA.rglob("*.yml")])}
COMPOSE = read_yaml(INFRA / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COLLECTOR = read_yaml(INFRA / "otel" / "collector.yaml")
PROMETHEUS = read_yaml(INFRA / "prometheus" / "prometheus.yml")


def published(service: str) -> set[str]:
    return {port.rpartition(":")[2] for port in SERVICES[service].get("ports", ())}


def mounts(service: str) -> dict[str, str]:
    """What is mounted into a service: place → source."""
    return {each.split(":")[1]: each.split(":")[0] for each in SERVICES[service].get("volumes", ())}


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_yaml_of_the_plain_kind(name: str) -> None:
    assert read_yaml(FILES[name])


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_mounts_exists_and_what_its_command_names_is_mounted(service: str) -> None:
    declared = set(COMPOSE["volumes"])
    for place, source in mounts(service).items():
        if source.startswith("."):
            assert (INFRA / source).exists(), f"{service} mounts {source}"
        else:
            assert source in declared, f"{service} mounts the volume {source}"
        assert place.startswith("/")
    for word in (*SERVICES[service].get("command", ()), *SERVICES[service].get("entrypoint", ())):
        if word.startswith("/"):
            assert any(word == place or word.startswith(f"{place}/") for place in mounts(service)), word


def test_services_depend_on_services_and_images_are_pinned_or_ours() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        assert re.search(r":v?\d+\.\d+", service["image"]) or service["image"] == "theater-bus", name
    assert (INFRA / SERVICES["init"]["build"]["context"] / SERVICES["init"]["build"]["dockerfile"]).is_file()


def test_nothing_is_published_beyond_this_machine() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"


def test_every_secret_of_the_compose_file_has_a_line_in_the_example_and_starts_with_a_letter() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (INFRA / "compose.yaml").read_text("utf-8")))
    given = dict(re.findall(r"^(\w+)=(.*)$", (INFRA / "example.env").read_text("utf-8"), re.MULTILINE))
    assert set(given) == wanted
    assert all(value[0].isalpha() for value in given.values())


def test_ports_and_hosts_agree() -> None:
    conf = (INFRA / "nats-server.conf").read_text("utf-8")
    [listens] = re.findall(r'^listen: "\S+:(\d+)"', conf, re.MULTILINE)
    [monitors] = re.findall(r'^http: "\S+:(\d+)"', conf, re.MULTILINE)
    assert published("nats") == {listens}
    assert f":{monitors}/healthz" in " ".join(SERVICES["nats"]["healthcheck"]["test"])
    for service in ("host", "init"):
        assert SERVICES[service]["environment"]["THEATER_BUS_SERVERS"] == f"nats://nats:{listens}"
    receivers = COLLECTOR["receivers"]["otlp"]["protocols"]
    exporters = COLLECTOR["exporters"]
    otlp = urlsplit(SERVICES["host"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"])
    assert (otlp.hostname, str(otlp.port)) == ("collector", port_of(receivers["http"]["endpoint"]))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in PROMETHEUS["scrape_configs"]}
    assert targets["theater"] == [f"collector:{port_of(exporters['prometheus']['endpoint'])}"]
    assert exporters["otlp/jaeger"]["endpoint"].partition(":")[0] in SERVICES
    for source in read_yaml(INFRA / "grafana/provisioning/datasources/theater.yaml")["datasources"]:
        address = urlsplit(source["url"])
        assert address.hostname in SERVICES
        assert str(address.port) in published(address.hostname)


def test_the_collectors_pipelines_use_what_is_declared() -> None:
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(COLLECTOR[kind])


def test_rules_dashboards_and_provisioning_lie_where_they_are_looked_for() -> None:
    rules = PROMETHEUS["rule_files"]
    assert rules == ["alerts.yml"]
    assert mounts("prometheus")["/etc/prometheus/alerts.yml"] == "./prometheus/alerts.yml"
    [provider] = read_yaml(INFRA / "grafana/provisioning/dashboards/theater.yaml")["providers"]
    assert list((INFRA / mounts("grafana")[provider["options"]["path"]]).glob("*.json"))


@pytest.mark.parametrize("service", ["host", "init"])
def test_the_environment_of_our_services_makes_settings(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = SERVICES[service]["environment"]
    for name, value in environment.items():
        if name.startswith("THEATER_BUS_"):
            monkeypatch.setenv(name, value)
    settings = HostSettings()
    assert settings.inbox_prefix == f"_INBOX.{settings.user}"
    assert f"{{user: {settings.user}, password: ${service.upper()}_PASSWORD" in (INFRA / "nats/users.conf").read_text()
    assert f"{service.upper()}_PASSWORD" in environment["THEATER_BUS_PASSWORD"]


def test_the_image_copies_what_is_there_and_pins_what_it_installs() -> None:
    root = INFRA.parent
    lines = (INFRA / "Dockerfile").read_text("utf-8").splitlines()
    ignored = (INFRA / "Dockerfile.dockerignore").read_text("utf-8").split()
    copied = {
        source for line in lines if line.startswith("COPY ") and "--from" not in line for source in line.split()[1:-1]
    }
    for source in copied:
        assert (root / source).exists()
        assert f"!{source}" in ignored
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    for needed in (*wheel["packages"], *wheel["force-include"], project["project"]["readme"]):
        assert any(needed == source or needed.startswith(f"{source}/") for source in copied), f"not copied: {needed}"
    [pinning] = [line.removeprefix("RUN ") for line in lines if line.startswith("RUN grep")]
    command = pinning.partition(" > ")[0]
    done = subprocess.run(["/bin/sh", "-c", command], cwd=root, capture_output=True, text=True, check=True)
    pinned = {line.partition("==")[0] for line in done.stdout.splitlines()}
    assert {"nats-py", "wasmtime", "pluggy", "opentelemetry-sdk", "uvloop"} <= pinned
    assert len(pinned) == len(re.findall(r"^\S+==", (root / "requirements/dev.txt").read_text(), re.MULTILINE))


def test_nats_takes_the_configuration() -> None:
    environment = {**os.environ, **{f"{role.upper()}_PASSWORD": f"{role}-secret" for role in ROLES}}
    done = subprocess.run(
        [str(server_binary()), "-t", "-c", str(INFRA / "nats-server.conf")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stdout + done.stderr


@pytest_asyncio.fixture
async def roles(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedServer]:
    """A server with the users of infra/nats."""
    for role in ROLES:
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", f"{role}-secret")
    server = EmbeddedServer()
    # NATS reads includes relative to the file that has them.
    server.reconfigure(f'include "{os.path.relpath(INFRA / "nats", server.store_dir.parent)}/users.conf"')
    async with server:
        yield server


def as_user(role: str) -> BusSettings:
    return BusSettings(user=role, password=f"{role}-secret", inbox_prefix=f"_INBOX.{role}")


async def test_with_the_shipped_roles_an_operator_spawns_and_a_caller_calls(roles: EmbeddedServer) -> None:
    environment = {
        **os.environ,
        "THEATER_BUS_SERVERS": roles.url,
        "THEATER_BUS_USER": "init",
        "THEATER_BUS_PASSWORD": "init-secret",
        "THEATER_BUS_INBOX_PREFIX": "_INBOX.init",
    }
    for became in ("made", "is there"):
        done = subprocess.run(
            [str(Path(sys.executable).parent / "theater-bus"), "init", "--capability", "store"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines() == [
            f"object store theater_default_objects {became}",
            f"object store theater_default_cap_store {became}",
            f"key-value bucket theater_default_cap_store {became}",
        ]
    settings = HostSettings(
        servers=(roles.url,), user="host", password="host-secret", inbox_prefix="_INBOX.host", caller_subjects=True
    )
    counter = guest("counter")
    async with await Host.start(settings), connect(roles.url, options=as_user("operator")) as operator:
        await operator.spawn(f"require_caller = true\n{counter.manifest_text}", package=counter.wasm, id="payments")
        async with connect(roles.url, options=as_user("alice"), caller="alice") as alice:
            assert await alice.actor("payments").call.increment(5) == 5
            with pytest.raises(PermissionDenied):
                await alice.actor("payments").terminate()
        async with connect(roles.url, options=as_user("observer")) as observer:
            assert await observer.actor("payments").get_state() == 5
            assert [event.type async for event in observer.actor("payments").get_chain()][-1] == "result"
            with pytest.raises(PermissionDenied):
                await observer.actor("payments").call.increment(1)
        assert await operator.actor("payments").shutdown() == "stopped"
        manifest = "name = 'keeper'\nexpose = ['new', 'store', 'get']\n[capabilities.store]\n"
        keeper = await operator.spawn(manifest, package=relay_guest(Store), id="payments")
        async with connect(roles.url, options=as_user("alice"), caller="alice") as alice:
            actor = alice.actor("payments")
            place = await actor.call.new()
            [kept] = await actor.call.store(place, b"content")
            [found] = await actor.call.get(place, kept["ok"])
            assert found == {"ok": b"content"}
        await keeper.shutdown()
