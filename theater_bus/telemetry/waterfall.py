"""One trace as a waterfall in the terminal: who called whom, where the time went, in which process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from rich.table import Table
from rich.text import Text

__all__ = ["render_waterfall"]

_PARTS = " ▏▎▍▌▋▊▉█"
_COLOURS = {"CLIENT": "cyan", "SERVER": "green", "INTERNAL": "yellow", "PRODUCER": "magenta", "CONSUMER": "magenta"}


def render_waterfall(spans: Sequence[ReadableSpan], bar_width: int = 24) -> Table:
    """Return a table for `rich.print`: a row per span, children below parents, bars to scale.

    `spans` are those of one trace, in any order. A parent that is missing makes its children roots. Colours tell the
    kinds: cyan calls, green hosts, yellow work inside, red faults. It fits 80 columns.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    # Only columns that may wrap are shrunk by rich; their cells are cut instead.
    table.add_column("span")
    table.add_column("process")
    table.add_column("", no_wrap=True, min_width=bar_width)
    table.add_column("duration", no_wrap=True, justify="right", min_width=9)
    if not spans:
        return table
    start = min(_start(span) for span in spans)
    total = max(1, max(_end(span) for span in spans) - start)
    processes = _processes(spans)
    for depth, span in _tree(spans):
        failed = span.status.status_code is StatusCode.ERROR
        colour = "red" if failed else _COLOURS[span.kind.name]
        name = _cut("  " * depth + span.name, "bold red" if failed else colour)
        bar = _bar(_start(span) - start, _end(span) - _start(span), total, bar_width)
        process = processes[_instance(span)]
        table.add_row(name, _cut(process, "dim"), Text(bar, style=colour), _duration(span))
    return table


def _cut(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _tree(spans: Sequence[ReadableSpan]) -> Iterator[tuple[int, ReadableSpan]]:
    ids = {span.context.span_id for span in spans if span.context is not None}
    below: dict[int, list[ReadableSpan]] = {}
    for span in sorted(spans, key=_start):
        above = span.parent.span_id if span.parent is not None and span.parent.span_id in ids else 0
        below.setdefault(above, []).append(span)
    waiting = [(0, span) for span in reversed(below.get(0, []))]
    while waiting:
        depth, span = waiting.pop()
        yield depth, span
        own = span.context.span_id if span.context is not None else 0
        waiting.extend((depth + 1, child) for child in reversed(below.get(own, [])))


def _bar(offset_ns: int, length_ns: int, total_ns: int, width: int) -> str:
    """Return blanks and blocks to scale, in eighths of a cell; at least one eighth, so that every span is seen."""
    begin = offset_ns * width * 8 // total_ns
    eighths = max(1, -(-length_ns * width * 8 // total_ns))
    lead, first = divmod(begin, 8)
    eighths = min(eighths + (first if eighths >= 8 else 0), max(1, (width - lead) * 8))
    full, rest = divmod(eighths, 8)
    return " " * min(lead, width - 1) + "█" * full + (_PARTS[rest] if rest else "")


def _processes(spans: Sequence[ReadableSpan]) -> dict[tuple[str, str], str]:
    """Name processes by their service; those that share one, by their instance too."""
    instances = {_instance(span) for span in spans}
    shared = {name for name, _ in instances if sum(name == other for other, _ in instances) > 1}
    return {
        (name, instance): f"{name} {instance[:8]}" if name in shared else name for name, instance in sorted(instances)
    }


def _instance(span: ReadableSpan) -> tuple[str, str]:
    attributes = span.resource.attributes
    return str(attributes.get("service.name", "")), str(attributes.get("service.instance.id", ""))


def _duration(span: ReadableSpan) -> str:
    microseconds = (_end(span) - _start(span)) / 1000
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms" if microseconds < 1_000_000 else f"{microseconds / 1_000_000:.2f} s"


def _start(span: ReadableSpan) -> int:
    return span.start_time or 0


def _end(span: ReadableSpan) -> int:
    return span.end_time or _start(span)
