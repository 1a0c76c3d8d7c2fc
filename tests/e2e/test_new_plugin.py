"""`theater-bus new plugin`: what it writes passes its own tests, can be installed, and is clean for `plugins check`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from theater_bus.cli.main import run

BIN = Path(sys.executable).parent
# Words that Python, pact or the written modules use for something else.
NAMES = ("word-count", "none", "self", "capability")


def command(*words: str, folder: Path, **environment: str) -> str:
    """What a command prints; it must end with 0."""
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin of each name."""
    folder = tmp_path_factory.mktemp("new")
    for name in NAMES:
        assert run(["new", "plugin", name, "--dir", str(folder / name), "--package", "acme:tools"]) == 0
    return folder


@pytest.fixture(scope="module")
def site(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them installed from their wheels."""
    site, wheels = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("wheels")
    for name in NAMES:
        command("python", "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels), folder=written / name)
    for wheel in wheels.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(site)
    return site


def test_its_tests_pass_at_once(written: Path) -> None:
    said = command("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=written / "word-count")
    assert "13 passed" in said


def test_every_plugin_is_clean_once_it_is_installed(site: Path) -> None:
    said = json.loads(command("theater-bus", "plugins", "check", "-o", "json", folder=site, PYTHONPATH=str(site)))
    checked = {one["name"]: one for one in said["plugins"]}
    assert said["ok"] is True
    for name in NAMES:
        assert checked[name]["error"] is None
        assert checked[name]["capabilities"] == [name]
        assert checked[name]["distribution"] == f"theater-bus-{name}"


def test_what_is_written_is_tidy(written: Path) -> None:
    command("ruff", "check", "--isolated", "--select", "E,F,W,B,UP,N", "--line-length", "120", ".", folder=written)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["Word"], "'Word' is no name for a capability"),
        (["a--b"], "is no name"),
        (["a_b"], "is no name"),
        (["../../etc/passwd"], "is no name"),
        ([""], "is no name"),
        (["a\nb"], "is no name"),
        (["a" * 41], "40 characters at most"),
        (["ünïcode"], "is no name"),
        (["clock"], "there is a plugin 'clock' already"),
        (["fine", "--package", "tools"], "write VENDOR:PACKAGE"),
        (["fine", "--package", "theater:simple"], "this project's own"),
        (["fine", "--package", "a:b/../c"], "write VENDOR:PACKAGE"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(
    words: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new", "plugin", *words]) == 2
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert run(["new", "plugin", "fine", "--dir", str(tmp_path / "taken")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert run(["new", "plugin", "fine", "--dir", str(tmp_path / "file")]) == 2
    assert (tmp_path / "taken" / "file").read_text() == (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert run(["new", "plugin", "fine", "--dir", str(tmp_path / "empty"), "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 6
