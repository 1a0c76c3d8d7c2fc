"""`theater-bus wit` and `theater-bus plugins wit`: what they print, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from theater_bus.cli.main import run

PACT = "imports { theater:simple/runtime.self } exports { who: func() -> string }"


def test_the_world_of_an_actor_is_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pact, wit = tmp_path / "who.pact", tmp_path / "who.wit"
    pact.write_text(PACT)
    assert run(["wit", str(pact)]) == 0
    printed = capsys.readouterr().out
    assert "world who {" in printed
    assert "import theater:simple/runtime;" in printed
    assert run(["wit", str(pact), "--out", str(wit)]) == 0
    assert capsys.readouterr().out == f"{wit}\n"
    assert wit.read_text() == printed
    assert run(["wit", str(pact), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"wit": printed}


def test_what_cannot_be_written_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pact = tmp_path / "who.pact"
    pact.write_text("exports {\n get_it: func() }")
    assert run(["wit", str(pact)]) != 0
    said = capsys.readouterr().err
    assert "who.pact:2:1: `get_it` cannot be written in WIT" in said
    assert "Fix: call it 'get-it' in the pact" in said
    assert run(["wit", str(tmp_path / "nobody.pact")]) != 0
    assert "there is no such file" in capsys.readouterr().err


def test_the_interfaces_of_a_plugin_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "wit", "runtime"]) == 0
    assert "interface runtime {" in capsys.readouterr().out
    assert run(["plugins", "wit", "runtme"]) != 0
    assert "did you mean 'runtime'?" in capsys.readouterr().err
