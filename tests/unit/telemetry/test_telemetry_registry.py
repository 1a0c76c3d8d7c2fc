"""The registry holds together, plugins stay within their prefix, and what is generated from it is up to date."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from theater_bus.errors import ActorError, ConfigurationError
from theater_bus.telemetry import REGISTRY, Registry, UnregisteredName
from theater_bus.telemetry.dashboard import ALERTS, alert_rules, overview_dashboard
from theater_bus.telemetry.definition import Attribute, LogEvent, Metric, Span
from theater_bus.telemetry.registry import error_type, is_fault

ROOT = Path(__file__).resolve().parents[3]
SUFFIXES = ("_bucket", "_sum", "_count")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("telemetry_generator", ROOT / "docs/generators/telemetry.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prometheus_names(text: str) -> set[str]:
    found = set(re.findall(r"\b(?:theater|rpc)_[a-z_]+\b", text))
    labels = {name.replace(".", "_") for name in REGISTRY.attributes}
    return {re.sub(f"({'|'.join(SUFFIXES)})$", "", name) for name in found - labels}


def test_every_generated_file_is_as_the_generator_would_write_it() -> None:
    for path, text in generator().outputs().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is stale. Fix: python docs/generators/telemetry.py"


def test_the_check_of_the_generator_passes() -> None:
    assert generator().main(["--check"]) == 0


def test_every_metric_in_dashboard_and_alerts_is_registered() -> None:
    registered = {metric.prometheus_name for metric in REGISTRY.metrics.values()}
    expressions = [target["expr"] for panel in overview_dashboard()["panels"] for target in panel["targets"]]
    expressions += [json.loads(text) for text in re.findall(r"expr: (\".*\")", alert_rules())]
    assert len(expressions) > len(REGISTRY.metrics) + len(ALERTS)
    assert set().union(*map(prometheus_names, expressions)) == registered


def test_every_metric_has_a_panel_and_no_two_panels_overlap() -> None:
    panels = overview_dashboard()["panels"]
    assert {panel["title"] for panel in panels} >= set(REGISTRY.metrics)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})


def test_every_definition_says_in_a_sentence_what_it_is() -> None:
    tables = (REGISTRY.spans, REGISTRY.events, REGISTRY.metrics, REGISTRY.logs, REGISTRY.attributes)
    for table in tables:
        for name, definition in table.items():
            assert definition.sentence.endswith((".", "…")), name


def test_histograms_have_rising_buckets_and_nothing_else_has_any() -> None:
    for metric in REGISTRY.metrics.values():
        assert bool(metric.buckets) == (metric.instrument == "histogram"), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_every_error_code_is_a_status_code() -> None:
    values = REGISTRY.attributes["rpc.response.status_code"].values
    assert values is not None
    assert {each.code for each in ActorError.__subclasses__()} <= set(values)


@pytest.mark.parametrize(
    ("code", "fault"),
    [("guest-trap", True), ("operation-timeout", True), ("guest-error", False), ("overloaded", False), ("Boom", True)],
)
def test_faults_are_the_hosts_and_not_the_callers(code: str, fault: bool) -> None:
    assert is_fault(code) is fault


def test_a_deadline_is_called_timeout_as_everywhere() -> None:
    assert error_type("operation-timeout") == "timeout"
    assert error_type("guest-trap") == "guest-trap"


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("theater.Actor/increment", "theater.Actor/{function}"),
        ("theater.Actor/theater:simple/x.y", "theater.Actor/{function}"),
        ("theater.guest theater:simple/x.y", "theater.guest {function}"),
        ("send theater.{namespace}.ops.{actor}.a:b/c.d", "send {subject}"),
        ("theater:simple/runtime/log", "{interface}/{function}"),
    ],
)
def test_a_span_name_belongs_to_one_definition(name: str, definition: str) -> None:
    assert REGISTRY.span(name).name == definition


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnregisteredName, match="span 'nothing' is not registered"):
        REGISTRY.span("nothing")
    with pytest.raises(UnregisteredName, match="metric"):
        REGISTRY.metric("nothing")
    with pytest.raises(UnregisteredName, match="log event"):
        REGISTRY.log("nothing")


def test_attributes_are_held_against_their_definition() -> None:
    metric = REGISTRY.metric("theater.actors")
    REGISTRY.check_attributes("theater.actors", {"theater.actor.phase": "running"}, metric)
    for attributes in ({"theater.actor.phase": "asleep"}, {"theater.actor.phase": "running", "x": "y"}, {}):
        with pytest.raises(UnregisteredName):
            REGISTRY.check_attributes("theater.actors", attributes, metric)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="registered twice"):
        Registry([Attribute("a", "A."), Attribute("a", "A.")])
    with pytest.raises(ConfigurationError, match="unknown attribute 'b'"):
        Registry([LogEvent("a", "info", "A.", ("b",))])


def test_a_plugin_registers_under_its_prefix_and_nowhere_else() -> None:
    registry = REGISTRY.copy()
    registry.register_plugin(
        "acme-db",
        [
            {"kind": "attribute", "name": "acme_db.table", "sentence": "The table."},
            {
                "kind": "metric",
                "name": "acme_db.rows",
                "instrument": "counter",
                "unit": "{row}",
                "sentence": "Rows.",
                "attributes": ["acme_db.table"],
            },
            Span("acme_db.query", ("CLIENT",), "A query."),
        ],
    )
    assert registry.metric("acme_db.rows").prometheus_name == "acme_db_rows_total"
    assert "acme_db.rows" not in REGISTRY.metrics
    for plugin, name in (("acme-db", "other.rows"), ("theater", "theater.more"), ("rpc", "rpc.more")):
        with pytest.raises(ConfigurationError, match="outside its prefix"):
            registry.register_plugin(plugin, [Metric(name, "counter", "1", "More.")])


def test_a_plugins_bad_definitions_leave_nothing_behind() -> None:
    registry = REGISTRY.copy()
    bad: list[dict[str, object]] = [
        {"kind": "metric", "name": "acme.good", "instrument": "counter", "unit": "1", "sentence": "Good."},
        {"kind": "log_event", "name": "acme.bad", "level": "info", "sentence": "Bad.", "fields": ["acme.none"]},
    ]
    with pytest.raises(ConfigurationError, match=r"acme\.none"):
        registry.register_plugin("acme", bad)
    assert "acme.good" not in registry.metrics
    for item in (
        {"kind": "poem", "name": "acme.x"},
        {"name": "acme.x"},
        {"kind": "metric", "name": "acme.x", "colour": 1},
    ):
        with pytest.raises(ConfigurationError, match="no definition"):
            registry.register_plugin("acme", [item])
