"""One trace, drawn: names indented, bars in place, durations, processes."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from rich.console import Console

from theater_bus.telemetry import TraceCollector, render_waterfall

MS = 1_000_000


def span(
    name: str,
    own: int,
    parent: int,
    start_ms: float,
    end_ms: float,
    kind: SpanKind,
    service: str = "host",
    instance: str = "one",
) -> ReadableSpan:
    return ReadableSpan(
        name,
        SpanContext(1, own, False),
        SpanContext(1, parent, False) if parent else None,
        Resource({"service.name": service, "service.instance.id": instance}),
        kind=kind,
        start_time=int(start_ms * MS),
        end_time=int(end_ms * MS),
        status=Status(StatusCode.ERROR if "trap" in name else StatusCode.UNSET),
    )


def drawn(spans: list[ReadableSpan], width: int = 160) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render_waterfall(spans, bar_width=40 if width > 80 else 24))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_children_stand_below_their_parents_with_bars_to_scale() -> None:
    lines = drawn(
        [
            span("store/put", 4, 3, 50, 75, SpanKind.CLIENT),
            span("theater.Actor/f", 1, 0, 0, 100, SpanKind.CLIENT, "client"),
            span("theater.guest f", 3, 2, 40, 80, SpanKind.INTERNAL),
            span("theater.Actor/f", 2, 1, 25, 100, SpanKind.SERVER),
        ]
    )
    assert lines[0].split() == ["span", "process", "duration"]
    texts = [line.split("  ")[0] if not line.startswith(" ") else line for line in lines[1:]]
    assert [len(line) - len(line.lstrip()) for line in texts] == [0, 2, 4, 6]
    bars = [line.count("█") for line in lines[1:]]
    assert bars == [40, 30, 16, 10]
    assert [line.split()[-2:] for line in lines[1:]] == [
        ["100.0", "ms"],
        ["75.0", "ms"],
        ["40.0", "ms"],
        ["25.0", "ms"],
    ]
    assert " client " in lines[1]
    assert " host " in lines[2]
    assert lines[1].index("█") < lines[2].index("█") < lines[3].index("█") < lines[4].index("█")


def test_short_spans_are_seen_and_long_ones_are_in_seconds() -> None:
    lines = drawn([span("a", 1, 0, 0, 2_500, SpanKind.SERVER), span("trap", 2, 1, 2_499.999, 2_500, SpanKind.INTERNAL)])
    assert lines[1].endswith("2.50 s")
    assert lines[2].endswith("1 µs")
    assert any(block in lines[2] for block in "▏▎▍▌▋▊▉█")


def test_eighty_columns_are_enough_and_hosts_of_one_service_are_told_apart() -> None:
    name = "theater:simple/a-long-interface/with-a-long-function"
    spans = [span(name, number, number - 1, 0, 10, SpanKind.SERVER, instance=f"host-{number}") for number in (1, 2, 3)]
    lines = drawn(spans, width=80)
    assert max(map(len, lines)) <= 80
    assert [line.split()[-2:] for line in lines[1:]] == [["10.0", "ms"]] * 3
    assert [line.count("█") for line in lines[1:]] == [24] * 3
    assert "host host-2" in lines[2]


def test_a_lost_parent_makes_a_root_and_nothing_is_an_empty_table() -> None:
    assert len(drawn([span("orphan", 2, 9, 0, 1, SpanKind.SERVER)])) == 2
    assert drawn([])[0].split() == ["span", "process", "duration"]


def test_the_collector_keeps_the_newest_and_finds_a_trace() -> None:
    collector = TraceCollector(capacity=2)
    spans = [span(str(number), number, 0, number, 9, SpanKind.SERVER) for number in (3, 2, 1)]
    collector.export(spans)
    assert [each.name for each in collector.spans()] == ["2", "1"]
    assert [each.name for each in collector.trace((1).to_bytes(16, "big"))] == ["1", "2"]
    assert collector.trace(bytes(16)) == []
    assert collector.force_flush()
    collector.clear()
    assert collector.spans() == []
