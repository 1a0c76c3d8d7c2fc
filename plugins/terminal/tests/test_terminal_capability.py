"""The terminal's functions on a pseudo-terminal: output, raw mode, input, signals, one owner, and what is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.errors import GuestError, SpawnRefused
from theater_bus_terminal import Terminal, console
from theater_bus_terminal.console import WATCHED, Console

ALL = {"input": True, "raw": True, "control": True}
PREFIX = "theater:simple/terminal.handle-"


def told(terminal: Any) -> list[tuple[str, list[Any]]]:
    return [(function.removeprefix(PREFIX), params) for function, params in terminal.context.enqueued]


# -- output and size ---------------------------------------------------------------------------------------------------


async def test_output_arrives_and_is_counted(start_harness: Any, screen: Any) -> None:
    terminal = await start_harness(Terminal, ALL)
    assert await terminal.call("write-stdout", b"hello \x1b[1mworld\x1b[0m") == 19
    assert await terminal.call("write-stderr", "grüße".encode()) == 7
    assert await terminal.call("write-stdout", b"") == 0
    shown = b"hello \x1b[1mworld\x1b[0m" + "grüße".encode()
    assert screen.shown(shown[-2:]) == shown


async def test_a_terminal_that_takes_nothing_costs_its_actor_alone_time(start_harness: Any, screen: Any) -> None:
    terminal = await start_harness(Terminal, ALL)
    with pytest.raises(TimeoutError):
        await terminal.call("write-stdout", bytes(1 << 20), timeout_s=0.1)
    reading = asyncio.create_task(asyncio.to_thread(screen.shown, b"again"))
    assert await terminal.call("write-stdout", b"again") == 5
    shown = await reading
    assert len(shown) < 1 << 20
    assert shown.strip(b"\0") == b"again"


async def test_without_the_grant_nothing_can_control_the_terminal(start_harness: Any, screen: Any) -> None:
    terminal = await start_harness(Terminal)
    data = b"\x1b]0;title\x07\x1b[2J\x9b2J" + b"\xc2\x9b\x00\x7f" + "ü\t\r\n☃".encode()
    assert await terminal.call("write-stdout", data) == len(data)
    shown = screen.shown("☃".encode()).decode()
    assert shown.replace("�", "") == "]0;title[2J2Jü\t\r\r\n☃"
    for half in ("☃".encode()[:1], "☃".encode()[1:]):
        await terminal.call("write-stdout", half)
    assert screen.shown("☃".encode()).decode() == "☃"


async def test_the_size_is_columns_and_rows(start_harness: Any, screen: Any) -> None:
    terminal = await start_harness(Terminal)
    assert await terminal.call("get-size") == [80, 24]
    screen.resize(132, 50)
    assert await terminal.call("get-size") == [132, 50]


# -- raw mode ----------------------------------------------------------------------------------------------------------


async def test_raw_mode_goes_on_and_off_and_off_at_the_end(start_harness: Any, screen: Any) -> None:
    terminal = await start_harness(Terminal, ALL)
    for _ in range(2):
        await terminal.call("set-raw-mode", True)
        await terminal.call("set-raw-mode", True)
        assert screen.is_raw()
        await terminal.call("set-raw-mode", False)
        await terminal.call("set-raw-mode", False)
        assert not screen.is_raw()
        assert screen.console.owner is None
    await terminal.call("set-raw-mode", True)
    await terminal.instance.stop()
    assert not screen.is_raw()
    assert screen.console.owner is None


async def test_the_terminal_has_one_owner_at_a_time(start_harness: Any, screen: Any) -> None:
    one = await start_harness(Terminal, ALL, actor="one")
    other = await start_harness(Terminal, ALL, actor="other")
    await other.call("write-stdout", b"nobody has it")
    await one.call("set-raw-mode", True)
    calls: list[tuple[str, list[Any]]] = [
        ("set-raw-mode", [True]),
        ("enable-input", []),
        ("write-stdout", [b"x"]),
        ("write-stderr", [b"x"]),
    ]
    for function, params in calls:
        with pytest.raises(CapabilityError, match="the terminal is in use by actor one"):
            await other.call(function, *params)
    await other.call("set-raw-mode", False)
    assert screen.is_raw()
    await other.instance.stop()
    assert screen.is_raw()
    await one.call("set-raw-mode", False)
    await one.call("enable-input")
    third = await start_harness(Terminal, ALL, actor="third")
    with pytest.raises(CapabilityError, match="in use by actor one"):
        await third.call("set-raw-mode", True)
    await one.instance.stop()
    await third.call("set-raw-mode", True)
    assert screen.is_raw()


# -- input -------------------------------------------------------------------------------------------------------------


async def test_lines_are_told_one_call_at_a_time_and_none_is_lost(
    start_harness: Any, screen: Any, eventually: Any
) -> None:
    terminal = await start_harness(Terminal, ALL)
    await terminal.call("enable-input")
    with pytest.raises(CapabilityError, match="input is enabled already"):
        await terminal.call("enable-input")
    screen.type(b"one\n")
    await eventually(lambda: told(terminal) == [("input", [b"one\n"])])
    screen.type(b"two\n")
    screen.type(b"three\n")
    reader = terminal.instance._reader
    await eventually(lambda: bytes(reader._held) == b"two\nthree\n")
    assert len(told(terminal)) == 1
    terminal.context.finish()
    assert told(terminal) == [("input", [b"two\nthree\n"])]
    terminal.context.finish()
    screen.type(b"\x04")  # the end, as a person types it
    await eventually(lambda: told(terminal) == [("input", [b""])])
    terminal.context.finish()
    assert screen.console.owner is None


async def test_raw_keys_are_told_as_they_are_pressed(start_harness: Any, screen: Any, eventually: Any) -> None:
    terminal = await start_harness(Terminal, ALL)
    await terminal.call("set-raw-mode", True)
    await terminal.call("enable-input")
    for key in (b"a", b"\x03", b"\x1b[A", b"\x04"):
        screen.type(key)
        await eventually(lambda key=key: told(terminal) == [("input", [key])])
        terminal.context.finish()
    await terminal.call("write-stdout", b"nothing before")
    assert screen.shown(b"before") == b"nothing before"


async def test_an_actor_that_takes_nothing_makes_others_wait_for_nothing(
    start_harness: Any, screen: Any, eventually: Any
) -> None:
    terminal = await start_harness(Terminal, ALL)
    await terminal.call("set-raw-mode", True)
    await terminal.call("enable-input")
    for _ in range(10):
        screen.type(b"x" * 1000)
        await asyncio.sleep(0)
    reader = terminal.instance._reader
    await eventually(lambda: len(reader._held) >= 4096 and not reader._is_reading)
    assert len(reader._held) < 4096 + 1024
    assert len(told(terminal)) == 1


async def test_a_person_can_end_a_host_whose_actor_takes_no_keys(
    start_harness: Any, screen: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        terminal = await start_harness(Terminal, ALL)
        await terminal.call("set-raw-mode", True)
        await terminal.call("enable-input")
        screen.type(b"a")
        await eventually(lambda: told(terminal) == [("input", [b"a"])])
        screen.type(b"\x03")
        await eventually(lambda: interrupts == [signal.SIGINT])
        await terminal.instance.stop()
    finally:
        signal.signal(signal.SIGINT, before)


async def test_failures_of_the_actor_are_reported_once_and_input_goes_on(
    start_harness: Any, screen: Any, eventually: Any
) -> None:
    terminal = await start_harness(Terminal, ALL)
    await terminal.call("enable-input")
    for number in range(2):
        screen.type(b"x\n")
        await eventually(lambda: told(terminal))
        terminal.context.finish(GuestError("no"))
        assert len(terminal.context.failures) == 1, number
    assert terminal.context.failures == ["handle-input failed: no"]


# -- signals -----------------------------------------------------------------------------------------------------------


async def test_signals_are_told_and_passed_on_to_whoever_listened(
    start_harness: Any, screen: Any, eventually: Any
) -> None:
    heard: list[int] = []
    before = {number: signal.signal(number, lambda n, _: heard.append(n)) for number in WATCHED}
    try:
        terminal = await start_harness(Terminal, ALL)
        await terminal.call("enable-input")
        await terminal.call("set-raw-mode", True)
        os.kill(os.getpid(), signal.SIGINT)
        await eventually(lambda: told(terminal) == [("signal", ["interrupt"])])
        os.kill(os.getpid(), signal.SIGINT)
        await eventually(lambda: heard == [signal.SIGINT] * 2)
        assert screen.is_raw()
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: ("signal", ["terminate"]) in told(terminal))
        assert not screen.is_raw()
        assert told(terminal).count(("signal", ["interrupt"])) == 1
        for size in ((100, 40), (120, 50)):
            screen.resize(*size)
            os.kill(os.getpid(), signal.SIGWINCH)
        await eventually(lambda: ("resize", [120, 50]) in told(terminal))
        await eventually(lambda: heard == [signal.SIGINT] * 2 + [signal.SIGTERM] + [signal.SIGWINCH] * 2)
        assert len([one for one in told(terminal) if one[0] == "resize"]) == 1
        await terminal.instance.stop()
        assert all(signal.getsignal(number) != screen.console._signalled for number in WATCHED)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def test_an_actor_that_listens_to_no_signals_is_told_of_none(
    start_harness: Any, screen: Any, eventually: Any
) -> None:
    terminal = await start_harness(Terminal, ALL)
    terminal.context.exports = {f"{PREFIX}input"}
    await terminal.call("enable-input")
    seen, tell = asyncio.Event(), terminal.instance._tell_signal

    def spy(number: int) -> None:
        tell(number)
        seen.set()

    terminal.instance._tell_signal = spy
    os.kill(os.getpid(), signal.SIGWINCH)
    await asyncio.wait_for(seen.wait(), 10)
    assert told(terminal) == []


def test_outside_of_the_main_thread_the_terminal_is_restored_all_the_same(screen: Any) -> None:
    def use() -> None:
        screen.console.take(screen, "one", lambda _: None)
        screen.console.make_raw()
        assert screen.is_raw()
        screen.console.give_back(screen)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert not screen.is_raw()
    assert signal.getsignal(signal.SIGTERM) == before


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "params", "setting"),
    [
        ("write-stdout", [b"x"], "output"),
        ("write-stderr", [b"x"], "output"),
        ("set-raw-mode", [True], "raw"),
        ("set-raw-mode", [False], "raw"),
        ("enable-input", [], "input"),
    ],
)
async def test_what_is_not_granted_is_refused_and_the_error_names_the_line(
    start_harness: Any, screen: Any, function: str, params: list[Any], setting: str
) -> None:
    terminal = await start_harness(Terminal, {**ALL, "output": True, setting: False})
    with pytest.raises(
        CapabilityError, match=rf"the grant terminal\.{setting} is missing\. Fix: `{setting} = true` under"
    ):
        await terminal.call(function, *params)
    assert screen.console.owner is None


async def test_an_actor_without_the_export_is_told_so(start_harness: Any, screen: Any) -> None:
    terminal = await start_harness(Terminal, ALL)
    terminal.context.exports = set()
    with pytest.raises(CapabilityError, match=r"Fix: export `theater:simple/terminal\.handle-input"):
        await terminal.call("enable-input")


@pytest.mark.parametrize("settings", [{"input": 7}, {"raw": "perhaps"}, {"echo": True}, {"output": None}])
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="terminal"):
        await start_harness(Terminal, settings)


async def test_a_host_without_a_terminal_says_so_and_still_writes(
    start_harness: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, eventually: Any
) -> None:
    read, write = os.pipe()
    file = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    os.write(file, b"before ")
    monkeypatch.setattr(console, "CONSOLE", Console(read, file, 999))
    terminal = await start_harness(Terminal, ALL)
    for function, params in (("get-size", []), ("set-raw-mode", [True])):
        with pytest.raises(CapabilityError, match="the host runs without a terminal"):
            await terminal.call(function, *params)
    await terminal.call("write-stdout", b"after")
    assert (tmp_path / "out").read_bytes() == b"before after"
    with pytest.raises(CapabilityError, match="descriptor 999 of the host cannot be used: bad file descriptor"):
        await terminal.call("write-stderr", b"x")
    await terminal.call("enable-input")
    os.write(write, b"piped")
    os.close(write)
    await eventually(lambda: told(terminal) == [("input", [b"piped"])])
    terminal.context.finish()
    await eventually(lambda: told(terminal) == [("input", [b""])])
    terminal.context.finish()
    assert console.CONSOLE.owner is None
    monkeypatch.setattr(console, "CONSOLE", Console(file, file, file))
    other = await start_harness(Terminal, ALL)
    with pytest.raises(CapabilityError, match="standard input is a file"):
        await other.call("enable-input")
    null = os.open(os.devnull, os.O_RDWR)
    monkeypatch.setattr(console, "CONSOLE", Console(null, null, null))
    service = await start_harness(Terminal, ALL)
    with pytest.raises(CapabilityError, match="cannot be used: operation not permitted"):
        await service.call("enable-input")
    assert await service.call("write-stdout", b"nowhere") == 7
    for one in (read, file, null):
        os.close(one)


async def test_what_was_on_comes_back(start_harness: Any, screen: Any, eventually: Any) -> None:
    terminal = await start_harness(Terminal, ALL)
    assert terminal.instance.snapshot() is None
    await terminal.call("set-raw-mode", True)
    await terminal.call("enable-input")
    assert terminal.context.snapshots == 2
    snapshot = terminal.instance.snapshot()
    await terminal.instance.stop()
    again = await start_harness(Terminal, ALL, snapshot=snapshot)
    assert screen.is_raw()
    screen.type(b"k")
    await eventually(lambda: told(again) == [("input", [b"k"])])
    late = await start_harness(Terminal, ALL, snapshot=snapshot)
    assert "the terminal is not what it was: the terminal is in use" in late.context.failures[0]
    with pytest.raises(ValueError, match="no snapshot of a terminal"):
        await start_harness(Terminal, ALL, snapshot=b"[7]")
