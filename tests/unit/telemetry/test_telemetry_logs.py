"""Log events carry their site, guests cannot flood, and rendering never blocks who logs."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.errors import ConfigurationError
from theater_bus.telemetry import REGISTRY, ActorAttributes, Telemetry, TraceCollector, configure_logging
from theater_bus.telemetry.conformance import LogCollector, emitted
from theater_bus.telemetry.logs import LOGGER
from theater_bus.telemetry.rate_limit import LogRateLimiter

ACTOR = ActorAttributes("counter-1", "default", "counter", "host-1")


@pytest.fixture
def logs() -> Iterator[LogCollector]:
    with LogCollector() as collector:
        yield collector


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return dict(record.theater)  # type: ignore[attr-defined]


def test_an_event_has_its_level_its_fields_and_the_host(logs: LogCollector) -> None:
    telemetry = Telemetry(level="off", host_id="host-1", strict=True)
    telemetry.event("actor.failed", actor="counter-1", reason="too many restarts")
    (record,) = logs.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "actor.failed actor='counter-1' reason='too many restarts' host='host-1'"
    assert emitted(REGISTRY, records=logs.records).problems == []


def test_an_event_inside_an_operation_names_its_trace(logs: LogCollector) -> None:
    collector = TraceCollector()
    provider = collector.provider("test")
    telemetry = Telemetry(tracer_provider=provider, strict=True)
    operation = telemetry.start_operation(telemetry.function_spec("f", "default"), None, ACTOR, 1)
    assert operation is not None
    operation.context().run(telemetry.event, "actor.paused", actor="counter-1")
    telemetry.guest_log(ACTOR, "warn", "hello", operation)
    for record in logs.records:
        assert fields(record)["trace_id"] == operation.trace_id.hex()
        assert fields(record)["span_id"] == operation.span_id.hex()
    assert [record.levelno for record in logs.records] == [logging.INFO, logging.WARNING]
    assert emitted(REGISTRY, records=logs.records).problems == []
    provider.shutdown()


def test_a_guest_that_floods_is_cut_counted_and_told_of(logs: LogCollector) -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    other = ActorAttributes("other", "default")
    for number in range(1_000):
        telemetry.guest_log(ACTOR, "info", str(number))
    telemetry.guest_log(other, "info", "not affected")
    mine = [record for record in logs.records if fields(record)["actor"] == "counter-1"]
    assert 200 <= len(mine) < 1_000
    assert fields(logs.records[-1])["text"] == "not affected"
    (dropped,) = [each for each in telemetry.snapshot().metrics if each.metric.name == "theater.telemetry.dropped"]
    assert dropped.points[0].value == 1_000 - len(mine)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 5), max_size=60))
def test_the_limiter_admits_no_more_than_burst_and_rate_and_loses_no_count(steps: list[float]) -> None:
    limiter = LogRateLimiter(per_second=2, burst=3)
    now, admitted, reported = 0.0, 0, 0
    for step in steps:
        now += step
        answer = limiter.admit("a", now)
        if answer is not None:
            admitted += 1
            reported += answer
    assert admitted <= 3 + 2 * now + 1e-6
    assert reported <= len(steps) - admitted
    final = limiter.admit("a", now + 10)
    assert final is not None
    assert reported + final == len(steps) - admitted


def test_the_limiter_remembers_a_bounded_number_of_actors() -> None:
    limiter = LogRateLimiter(burst=1)
    for number in range(10_001):
        assert limiter.admit(str(number), 0.0) == 0
    assert limiter.admit("10000", 0.0) is None
    assert limiter.admit("0", 0.0) == 0


def test_an_event_that_callers_provoke_is_bounded_and_hides_no_other(logs: LogCollector) -> None:
    telemetry = Telemetry(level="metrics", strict=True)
    for _ in range(1_000):
        telemetry.event("request.refused", reason="reply-subject")
    telemetry.event("actor.failed", actor="counter-1")
    assert 200 <= len(logs.records) < 1_000
    assert logs.records[-1].getMessage() == "actor.failed actor='counter-1'"
    (dropped,) = [each for each in telemetry.snapshot().metrics if each.metric.name == "theater.telemetry.dropped"]
    assert dropped.points[0].attributes == {"theater.telemetry.signal": "logs"}
    assert dropped.points[0].value + len(logs.records) == 1_001


def test_silence_logs_nothing(logs: LogCollector) -> None:
    Telemetry.silent().event("host.started")
    Telemetry.silent().guest_log(ACTOR, "info", "x")
    assert logs.records == []


def test_json_lines_have_event_fields_and_time() -> None:
    stream = io.StringIO()
    handle = configure_logging("json", "debug", stream)
    Telemetry(level="off").event("actor.stopped", actor="counter-1", reason="shutdown")
    logging.getLogger("other").warning("plain %s", "text")
    try:
        raise ValueError("boom")
    except ValueError:
        LOGGER.exception("failed")
    handle.close()
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert first["event"] == "actor.stopped"
    assert (first["actor"], first["reason"], first["level"], first["logger"]) == (
        "counter-1",
        "shutdown",
        "info",
        "theater_bus",
    )
    assert first["timestamp"].endswith("Z")
    assert second["event"] == "plain text"
    assert "ValueError: boom" in third["exception"]


def test_console_lines_are_for_people() -> None:
    stream = io.StringIO()
    before = logging.getLogger().level
    handle = configure_logging("console", "info", stream)
    Telemetry(level="off").event("actor.stopped", actor="counter-1", reason="shutdown")
    Telemetry(level="off").event("bus.server_log", text="below the level")
    handle.close()
    assert logging.getLogger().level == before
    (line,) = stream.getvalue().splitlines()
    assert "actor.stopped" in line
    assert "reason=shutdown" in line


def test_a_traceback_on_the_console_does_not_show_local_variables() -> None:
    stream = io.StringIO()
    handle = configure_logging("console", "info", stream)
    try:
        password = "-".join(["hunter", "2"])
        raise ValueError(f"{len(password)} characters are too few")
    except ValueError:
        LOGGER.exception("failed")
    handle.close()
    written = stream.getvalue()
    assert "ValueError: 8 characters are too few" in written
    assert "hunter-2" not in written


def test_a_slow_stream_drops_records_and_blocks_nobody() -> None:
    opened = threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            opened.wait(10)
            return super().write(text)

    handle = configure_logging("json", "info", Slow(), capacity=5)
    for _ in range(50):
        LOGGER.warning("line")
    assert handle.dropped >= 40
    opened.set()
    handle.close()


@pytest.mark.parametrize(("format", "level"), [("xml", "info"), ("json", "loud")])
def test_settings_that_cannot_be_used_are_refused(format: Any, level: str) -> None:
    with pytest.raises(ConfigurationError, match=r"logging\."):
        configure_logging(format, level)


def test_an_unknown_telemetry_level_is_refused() -> None:
    level: Any = "loud"
    with pytest.raises(ConfigurationError, match=r"telemetry\.level"):
        Telemetry(level=level)
