"""What the installed command does without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from theater_bus.engine import wat2wasm
from theater_bus.testing.broken import broken, broken_names
from theater_bus.testing.guests import guest, guests_folder

from .conftest import PATIENCE_S, PROGRAM, quick, run

NOWHERE = "nats://127.0.0.1:1"


@pytest.mark.parametrize("words", [("ps",), ("call", "c", "f"), ("state", "c"), ("serve",)], ids=" ".join)
def test_no_server_is_said_so_with_exit_code_6(words: tuple[str, ...]) -> None:
    done = quick(*words, "--server", NOWHERE)
    lines = done.err.splitlines()
    assert done.code == 6
    assert f"no connection to NATS at {NOWHERE}: nobody listens there" in done.err
    assert "Traceback" not in done.err
    assert lines[-1].startswith("  Fix: ")


@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [(">&-", 0, ""), (">&- 2>&-", 0, ""), (">/dev/full", 1, "cannot be written: No space left on device")],
)
def test_output_that_nobody_takes_is_no_bug(redirection: str, code: int, told: str) -> None:
    line = f"'{PROGRAM}' version {redirection}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert ("correlation" in done.stderr, "Traceback" in done.stderr) == (False, False)


def test_characters_that_a_terminal_lacks_are_written_in_another_way(tmp_path: Path) -> None:
    (tmp_path / "B\u00fccher.wasm").write_bytes(guest("counter").wasm)
    done = run("inspect", str(tmp_path / "B\u00fccher.wasm"), PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert (done.code, done.err) == (0, "")
    assert r"B\xfccher.wasm" in done.out


def test_doctor_fails_without_a_server_and_says_what_to_do() -> None:
    done = quick("doctor", "--server", NOWHERE)
    assert done.code == 1
    assert "fail  connection" in done.out
    assert "Fix: start nats-server" in done.out


def test_inspect_says_what_a_module_offers_and_needs(guests: Path) -> None:
    done = run("inspect", str(guests / "chaos.wasm"), "-o", "json").json
    assert done["problems"] == []
    assert done["needs"][0]["interface"] == "theater:simple/runtime"
    assert done["needs"][0]["providers"] == [{"capability": "runtime", "plugin": "runtime"}]
    assert done["sha256"]
    text = quick("inspect", str(guests / "counter.wasm")).out
    assert "increment: func(state: u64, by: u64)" in text
    assert "a host can run it" in text


def test_inspect_explains_a_component(tmp_path: Path) -> None:
    file = tmp_path / "web.wasm"
    file.write_bytes(wat2wasm((guests_folder() / "wat" / "web_component.wat").read_text("utf-8")))
    done = run("inspect", str(file), "-o", "json").json
    assert (done["kind"], done["problems"]) == ("component", [])
    assert [one["interface"] for one in done["needs"]] == ["wasi:io/streams@0.2.3", "wasi:http/types@0.2.3"]
    assert all(one["providers"] == [{"capability": "wasi", "plugin": "wasi"}] for one in done["needs"])
    counter = tmp_path / "counter.wasm"
    counter.write_bytes(wat2wasm((guests_folder() / "wat" / "counter_component.wat").read_text("utf-8")))
    text = quick("inspect", str(counter)).out
    assert "increment: func(state: u64, by: u64) -> result<tuple<u64, u64>, string>" in text
    assert "theater:bus/clock (now, sleep): [capabilities.clock] of plugin clock" in text


def test_inspect_works_on_what_is_broken(guests: Path) -> None:
    done = quick("inspect", str(guests / "other.wasm"), "-o", "json")
    assert done.code == 1
    assert "WebAssembly" in done.json["problems"][0]
    assert quick("inspect", str(guests / "nowhere.wasm")).code == 3


def test_inspect_names_an_import_that_nobody_provides(tmp_path: Path) -> None:
    source = guests_folder() / "broken" / "unknown-import.wat"
    made = tmp_path / "it.wasm"
    assert quick("build", str(source), "--out", str(made)).code == 0
    assert "no installed plugin offers it" in quick("inspect", str(made)).out


@pytest.mark.parametrize("name", [name for name in broken_names() if name not in ("lying-types", "component")])
def test_inspect_does_not_call_a_broken_module_one_that_a_host_can_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "it.wasm").write_bytes(broken(name))
    done = quick("inspect", str(tmp_path / "it.wasm"))
    if name in ("huge-memory", "start-trap"):  # limits of the actor, and what only running it shows
        assert "verdict        a host can run it" in done.out
        return
    verdict = done.out[done.out.index("verdict") :]
    assert "Fix:" in verdict or "only a host can run it" in verdict
    assert done.code == (0 if name in ("differing-import", "unknown-import") else 1)
    assert "not a WebAssembly module: not" not in done.out


def test_build_makes_the_module_of_the_tests(tmp_path: Path) -> None:
    source = guests_folder() / "counter" / "counter.wat"
    done = run("build", str(source), "--out", str(tmp_path / "it.wasm"), "-o", "json")
    assert done.json["size_bytes"] == len(guest("counter").wasm)
    assert (tmp_path / "it.wasm").read_bytes() == guest("counter").wasm
    assert quick("build", str(source.with_suffix(".pact")), "--header", "--out", str(tmp_path / "it.h")).code == 0
    assert "#" in (tmp_path / "it.h").read_text()


def test_build_says_what_is_wrong_with_a_source(tmp_path: Path) -> None:
    (tmp_path / "bad.wat").write_text("(module (oops))")
    (tmp_path / "bad.pact").write_text("exports { f: func( }")
    (tmp_path / "good.wat").write_text("(module)")
    syntax = quick("build", str(tmp_path / "bad.wat"))
    assert (syntax.code, "bad.pact:1:" in syntax.err) == (2, True)
    assert quick("build", str(tmp_path / "good.wat")).code == 2
    assert quick("build", str(tmp_path / "none.wat")).code == 3


def test_plugins_are_listed_shown_and_checked() -> None:
    assert "runtime" in run("plugins", "list").out
    assert "get-chain: func() -> list<u8>" in quick("plugins", "show", "runtime").out
    assert "timer.timers: number, default 64" in quick("plugins", "show", "timer").out
    assert quick("plugins", "show", "runtim").err.endswith("did you mean 'runtime'?\n")
    done = quick("plugins", "check", "-o", "json")
    assert (done.code, done.json["ok"]) == (0, True)


def test_a_bad_plugin_is_named_in_four_lines_and_ends_the_check_with_1(tmp_path: Path) -> None:
    (tmp_path / "bad_plugin.py").write_text("import nothing_of_this_name\n")
    metadata = tmp_path / "bad_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[theater_bus]\nbad = bad_plugin\n")
    done = run("plugins", "check", PYTHONPATH=str(tmp_path))
    assert done.code == 1
    told = done.out[done.out.index("plugin 'bad'") :].splitlines()[:4]
    assert [line.strip().split(" ")[0] for line in told] == ["plugin", "in:", "problem:", "Fix:"]
    assert "plugin 'runtime': ok" in done.out


def test_the_demo_shows_the_main_job_ends_by_itself_and_leaves_nothing(tmp_path: Path) -> None:
    done = run("demo", TMPDIR=str(tmp_path), THEATER_BUS_DATA_DIR=str(tmp_path / "untouched"))
    assert done.code == 0, done.err
    assert done.err == ""
    for promise in (
        "increment",
        "→ 42",
        "cpu-limit",
        "memory-limit",
        "intact: ",
        "corrupt at event 4",
        "theater.guest",
    ):
        assert promise in done.out
    assert list(tmp_path.iterdir()) == []


def test_the_demo_tells_programs_one_document_per_step() -> None:
    done = quick("demo", "-o", "json")
    assert done.code == 0, done.err
    steps = [line["step"] for line in done.lines]
    assert steps[0] == "spawn"
    assert steps[-1] == "end"
    assert {"call", "live-chain", "text", "contain", "verify", "forged", "trace"} <= set(steps)


def test_a_plugin_adds_a_command_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "greeting_plugin.py").write_text(
        "import click\n"
        "from theater_bus.capability import hookimpl\n"
        "@click.command('greet')\n"
        "def greet():\n    print('good day')\n"
        "@hookimpl\n"
        "def theater_cli():\n    return {'greet': 'greeting_plugin:greet'}\n"
    )
    metadata = tmp_path / "greeting_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[theater_bus]\ngreeting = greeting_plugin\n")
    assert run("greet", PYTHONPATH=str(tmp_path)).out == "good day\n"
