"""The commands as a whole: names, help, options before and behind, errors of usage, and what is not imported."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from theater_bus.cli.command import LazyGroup, adopt
from theater_bus.cli.main import COMMANDS, cli, run

HEAVY = ("asyncio", "nats", "wasmtime", "opentelemetry", "pydantic", "pluggy", "rich", "msgpack", "structlog")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THEATER_BUS_OUTPUT", raising=False)
    monkeypatch.delenv("THEATER_BUS_SERVERS", raising=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_what_the_list_says_of_it(name: str) -> None:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert (found.name, found.get_short_help_str(100)) == (name, COMMANDS[name].summary)
    assert found.help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--output" in text
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert all(option.help for option in found.params if isinstance(option, click.Option))


def test_help_and_completion_of_names_import_nothing_heavy() -> None:
    code = f"""
import sys
from theater_bus.cli.main import run
assert run(["--help"]) == 0
loaded = sorted(set({HEAVY!r}) & set(sys.modules))
sys.exit(f"imported: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "theater-bus demo" in capsys.readouterr().out
    assert run(["plugins"]) == 0
    assert "check" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "meant"), [(["cal"], "theater-bus call"), (["plugins", "lst"], "plugins list"), (["shutdwn"], "shutdown")]
)
def test_a_misspelt_command_is_recognised(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert f"did you mean `{meant}" in capsys.readouterr().err.replace("theater-bus plugins", "plugins").replace(
        "theater-bus shutdown", "shutdown"
    )


def test_an_option_without_its_value_points_to_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["grants", "counter", "--why"]) == 2
    assert "see `theater-bus grants --help`" in capsys.readouterr().err


def test_a_word_like_no_command_points_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["xyzzy"]) == 2
    assert "see `theater-bus --help`" in capsys.readouterr().err


def test_stop_is_another_name_for_shutdown() -> None:
    context = click.Context(cli)
    assert cli.get_command(context, "stop") is cli.get_command(context, "shutdown")
    assert "stop" not in cli.list_commands(context)


@pytest.mark.parametrize("words", [["-o", "json", "version"], ["version", "-o", "json"], ["-ojson", "version"]])
def test_an_option_of_every_command_stands_before_or_behind(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["theater-bus"]


def test_what_is_typed_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THEATER_BUS_OUTPUT", "json")
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith("{")
    assert run(["-o", "text", "version"]) == 0
    assert not capsys.readouterr().out.startswith("{")


@pytest.mark.parametrize(
    "words",
    [["ps", "--nope", "-o", "json"], ["--output=json", "ps", "--nope"], ["-ojson", "call"], ["-o", "json", "x"]],
)
def test_errors_of_usage_are_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    "words",
    [
        ["call"],
        ["call", "c"],
        ["call", "c", "f", "hello"],
        ["call", "c", "f", "1", "--named", "{}"],
        ["chain", "c", "--follow", "--verify"],
        ["chain", "c", "--from", "x"],
        ["chain", "c", "--from", "99999999999999999999"],
        ["spawn", "m.toml", "--state", "{"],
        ["ps", "--timeout", "0"],
        ["shutdown", "c", "--grace", "-1"],
        ["ps", "-o", "xml"],
        ["completion", "tcsh"],
        ["serve", "--embedded", "--server", "nats://x"],
        ["demo", "--server", "nats://x"],
        ["--inbox-prefix", "x", "demo"],
        ["serve", "--port", "1"],
        ["serve", "--server", "nats://127.0.0.1:1", "--namespace", "a.b"],
        ["ps", "--user", "x"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_understood_ends_with_2_and_three_lines(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split(":")[0] for line in captured.err.splitlines()] == ["error", "  why", "  Fix"]


@pytest.mark.parametrize(
    ("name", "value", "told"), [("TLS_HANDSHAKE_FIRST", "maybe", "neither yes nor no"), ("TLS_KEY", "k.pem", "a pair")]
)
def test_a_variable_that_cannot_be_used_is_refused(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"THEATER_BUS_{name}", value)
    assert run(["ps", "--server", "nats://127.0.0.1:1"]) == 2
    assert told in capsys.readouterr().err


def test_a_bug_ends_with_70_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("theater_bus.cli.commands.version.installed", lambda: 1 / 0)
    assert run(["version"]) == 70
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("theater_bus.cli.commands.version.installed", interrupted)
    assert run(["version"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_the_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_THEATER_BUS_COMPLETE" in capsys.readouterr().out


def test_the_shell_is_offered_the_commands() -> None:
    environment = {"_THEATER_BUS_COMPLETE": "bash_complete", "COMP_WORDS": "theater-bus sp", "COMP_CWORD": "1"}
    code = "import sys; sys.argv[0] = 'theater-bus'; from theater_bus.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.strip() == "plain,spawn"


def test_a_group_knows_its_commands_without_importing_them() -> None:
    assert isinstance(cli, LazyGroup)
    assert set(COMMANDS) == set(cli.listed)


def test_a_plugins_commands_take_the_options_of_every_command_and_keep_their_own() -> None:
    @click.group("shelf")
    def shelf() -> None:
        pass

    @shelf.command("look")
    @click.option("-n", "--number", type=int)
    def look(number: int) -> None:
        pass

    for _ in range(2):
        assert adopt(shelf) is shelf
    options = [word for parameter in look.params for word in parameter.opts]
    assert options.count("-n") == 1
    assert {"--number", "--server", "--output"} <= set(options)
    assert "--namespace" not in options
    assert [word for parameter in shelf.params for word in parameter.opts].count("--server") == 1
