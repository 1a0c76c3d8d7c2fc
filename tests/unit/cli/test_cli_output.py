"""What commands say, as text and as JSON, and how an event becomes a line."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from theater_bus.cli.commands.chain import verdict_text, verified
from theater_bus.cli.event_line import event_document, event_line
from theater_bus.cli.output import Output, compact, facts, hanging, json_form, shown_bytes, shown_ns
from theater_bus.core.chain.bodies import Genesis, HostCall, LogRun
from theater_bus.core.chain.events import Event, decode_event
from theater_bus.core.chain.segments import Segment, Spilled
from theater_bus.core.chain.verify import Verdict
from theater_bus.core.chain.writer import ChainWriter
from theater_bus.errors import ChainTampered

VECTORS = json.loads((Path(__file__).parents[1] / "chain" / "vectors.json").read_text())
EVENTS = [decode_event(bytes.fromhex(one["event"])) for one in VECTORS["events"]]


@dataclass
class Thing:
    name: str
    digest: bytes


def test_bytes_of_values_are_base64_and_those_of_facts_are_hex() -> None:
    assert json_form({"a": [b"\x01", float("nan")]}) == {"a": [{"$bytes": "AQ=="}, {"$float": "nan"}]}
    assert facts([Thing("x", b"\x01")]) == [{"name": "x", "digest": "01"}]


def test_sizes_and_durations_are_readable() -> None:
    assert [shown_bytes(n) for n in (0, 1023, 1536, 3 << 20, 5 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "3.0 MiB",
        "5120.0 GiB",
    ]
    assert [shown_ns(n) for n in (None, 12, 1_500, 2_500_000, 250_000_000, 3_000_000_000)] == [
        "-",
        "12 ns",
        "1.5 µs",
        "2.5 ms",
        "250 ms",
        "3 s",
    ]


def test_a_long_value_is_cut() -> None:
    assert compact("x" * 50, 10) == '"xxxxxxxx…'
    assert compact([1, {"a": None}]) == '[1,{"a":null}]'


def test_a_table_has_no_trailing_blanks_and_no_colours_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table({}, ("A", "B"), [("[bold]x", "y"), ("longer", "")], "nothing")
    assert capsys.readouterr().out == "A        B\n[bold]x  y\nlonger\n"


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table({}, ("A",), [], "nothing here")
    assert capsys.readouterr().out == "nothing here\n"


@pytest.mark.parametrize(("columns", "rows"), [("12", 2), ("", 1), ("0", 1), ("wide", 1)])
def test_a_table_in_a_file_is_as_wide_as_columns_say(
    columns: str, rows: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    Output().table({}, ("A",), [("x" * 20,)], "nothing")
    assert len(capsys.readouterr().out.splitlines()) == 1 + rows


def test_a_fact_of_several_lines_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    Output().pairs({}, [("a", "1"), ("bcd", "2\n3")])
    assert capsys.readouterr().out == "a    1\nbcd  2\n     3\n"


def test_json_output_is_the_value_alone(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(is_json=True)
    out.document({"a": 1}, lambda: "no")
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    out.line([1], lambda: "no")
    out.line([2], lambda: "no")
    assert capsys.readouterr().out == "[1]\n[2]\n"
    out.table({"rows": []}, ("A",), [("x",)], "empty")
    out.pairs({}, [("a", "b")])


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.seq} {event.type}")
def test_every_kind_of_event_is_one_line_and_one_document(event: Event) -> None:
    line = event_line(event)
    assert "\n" not in line
    assert event.type in line
    assert event.hash.hex()[:12] in line
    assert json.loads(json.dumps(event_document(event)))["seq"] == event.seq


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event.seq} {event.type}")
@pytest.mark.parametrize("columns", [80, 132])
def test_an_event_fits_a_terminal(event: Event, columns: int) -> None:
    assert len(event_line(event, columns)) <= columns


def test_a_host_call_says_what_the_guest_was_told_and_a_log_what_was_left_out() -> None:
    logged, sent = (event for event in EVENTS if event.type == "host-call")
    assert isinstance(logged.body, LogRun)
    assert isinstance(sent.body, HostCall)
    long = replace(logged, body=replace(logged.body, count=1, lines=("ab" * 30,)))
    told = replace(sent, body=replace(sent.body, outcome="returned", output=b"\x01"))
    assert f"  log '{'ab' * 16}a…'  " in event_line(long)
    assert '("68656c6c6f") → queued  theater:simple/message' in event_line(sent)
    assert '("68656c6c6f") → "01"  theater:simple/message' in event_line(told)


def chain() -> list[Segment]:
    writer = ChainWriter("a", bytes(16))
    genesis = Genesis("a", bytes(16), b"p" * 32, b"m" * 32, b"g" * 32, None, "engine", "abi", 65_536, None, None)
    made = [writer.write(1, genesis)]
    for number in range(3):
        recording = writer.begin(2, "f", b"", f"key {number}")
        recording.result(3, b"", None)
        made.append(recording.commit())
    return made


async def feed(*segments: Segment | Spilled, error: ChainTampered | None = None):  # type: ignore[no-untyped-def]
    for segment in segments:
        yield segment
    if error is not None:
        raise error


async def test_an_intact_chain_is_said_to_be_intact() -> None:
    report = await verified(feed(*chain()))
    assert report.verdict is Verdict.INTACT
    assert verdict_text("a", report).startswith("intact: 7 events of actor 'a' from number 0, head ")


async def test_a_changed_bit_is_found_and_the_event_is_named() -> None:
    first, second, *rest = chain()
    changed = second.events[-1][:-1] + bytes([second.events[-1][-1] ^ 1])
    report = await verified(feed(first, Segment(1, second.head, (second.events[0], changed), 1), *rest))
    assert report.verdict is Verdict.CORRUPT
    assert "corrupt: " in verdict_text("a", report)


async def test_bytes_that_are_no_chain_are_a_verdict_and_no_error() -> None:
    report = await verified(feed(*chain(), error=ChainTampered("not msgpack", seq=9)))
    assert "event 9: not msgpack" in verdict_text("a", report)


async def test_missing_objects_and_a_missing_beginning_are_said() -> None:
    first, second, third, last = chain()
    spilled, _ = second.spill()
    assert "objects that are missing: 1" in verdict_text("a", await verified(feed(first, spilled, third)))
    assert "the beginning is not part of it" in verdict_text("a", await verified(feed(third, last)))


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (14, ["clock,", "    http-client,", "    timer"]),
        (24, ["clock, http-client,", "    timer"]),
        (0, ["clock, http-client, timer"]),
        (4, ["clock, http-client, timer"]),
    ],
)
def test_a_long_fact_goes_on_below_its_beginning_where_there_is_a_terminal(columns: int, lines: list[str]) -> None:
    assert hanging("clock, http-client, timer", 4, columns).split("\n") == lines
