"""An exception becomes three lines, or one document: what failed, why, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from theater_bus import errors
from theater_bus.cli.command import UsageProblem
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.failure import CommandFailed, failure_of, report


def said(error: BaseException, capsys: pytest.CaptureFixture[str], as_json: bool = False) -> str:
    report(failure_of(error, "do it"), error, as_json=as_json, debug=False)
    return capsys.readouterr().err


def test_an_actor_error_tells_code_reason_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.FunctionNotFound("there is no function 'incremnt'", actor="a1", nearest=["increment"])
    assert said(error, capsys) == (
        "error: could not do it\n"
        "  why: function-not-found: there is no function 'incremnt'\n"
        "  Fix: `theater-bus status a1` lists its functions\n"
    )


def test_the_names_that_there_are_are_told_for_one_that_is_not_there() -> None:
    def why(error: errors.ActorError) -> str:
        return failure_of(error, "").why.partition(": ")[2]

    missing = errors.FunctionNotFound("there is no function 'x'.", actor="a1", nearest=[], functions=["f", "g"])
    assert why(missing) == "there is no function 'x'. It has f, g"
    missing.details["functions"] = [f"f{number}" for number in range(10)]
    assert why(missing).endswith("f6, f7 and 2 more")
    missing.details["functions"] = []
    assert why(missing).endswith("'x'. It has none that can be called")
    gone = errors.ActorNotFound("no actor 'shraed'", actor="shraed", nearest=["shared", "shred"])
    assert why(gone) == "no actor 'shraed'. Did you mean shared or shred?"
    gone.details["nearest"] = []
    assert why(gone) == "no actor 'shraed'"


def test_a_remedy_inside_a_message_becomes_the_third_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.SpawnRefused("the package is not here. Fix: copy it there.")
    lines = said(error, capsys).splitlines()
    assert lines[1:] == ["  why: spawn-refused: the package is not here", "  Fix: copy it there"]


def test_the_remedy_that_an_actor_passes_on_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(errors.GuestError('kv.write does not allow it. Fix: write `write = ["a"]`', actor="c"), capsys)
    assert told.splitlines()[-1] == '  Fix: write `write = ["a"]`'
    told = said(errors.GuestError("no", actor="c"), capsys)
    assert "the actor's own answer" in told.splitlines()[-1]


def test_a_wrong_answer_of_a_guest_is_its_own_fault_and_not_that_of_the_command() -> None:
    sent = failure_of(errors.TypeMismatch("f: params.by must be u64", actor="c"), "")
    gave = failure_of(errors.TypeMismatch("f: result.ok[0] must be u64", actor="c", ran="rolled-back"), "")
    assert (sent.exit_code, gave.exit_code) == (ExitCode.USAGE, ExitCode.FAILED)
    assert "lists the types" in sent.fix
    assert gave.fix.startswith("mend the guest")


def test_a_trap_names_the_limit_to_raise_and_what_led_to_it_or_the_remedy_that_its_host_knows() -> None:
    trap = failure_of(errors.Internal("the guest gave up", actor="c", reason="unreachable"), "")
    assert trap.fix.endswith("`theater-bus chain c` shows what led to it")
    limit = failure_of(errors.Internal("too many host calls. Fix: record less", actor="c", reason="record-limit"), "")
    assert limit.fix == "record less"


def test_what_became_of_an_operation_is_said_when_it_is_not_plain() -> None:
    cut = failure_of(errors.OperationTimeout("the deadline passed", ran="rolled-back"), "")
    lost = failure_of(errors.OperationTimeout("no answer", ran="unknown"), "")
    assert cut.why.endswith("it was rolled back")
    assert lost.why.endswith("whether it ran is unknown")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.ConfigurationError("port", "is odd", "use another"), "configuration", ExitCode.USAGE),
        (
            errors.ConnectionLost("nats://x", "nobody listens", "check `servers`"),
            "no-connection",
            ExitCode.NO_CONNECTION,
        ),
        (errors.PluginError("p", "p.f", "bad", "mend it"), "plugin", ExitCode.FAILED),
        (errors.PactSyntaxError("no", line=3, column=1, source="a.pact"), "PactSyntaxError", ExitCode.USAGE),
        (CommandFailed("no", "yes", ExitCode.NOT_FOUND), "failed", ExitCode.NOT_FOUND),
        (UsageProblem("what?", "this"), "usage", ExitCode.USAGE),
        (click.BadParameter("odd"), "usage", ExitCode.USAGE),
        (FileNotFoundError(2, "no such file", "x"), "file", ExitCode.NOT_FOUND),
        (PermissionError(13, "denied", "x"), "file", ExitCode.REFUSED),
        (OSError(28, "No space left on device"), "output", ExitCode.FAILED),
    ],
    ids=lambda value: getattr(type(value), "__name__", str(value)),
)
def test_every_kind_of_error_has_its_word_and_its_exit_code(error: Exception, kind: str, code: ExitCode) -> None:
    failure = failure_of(error, "do it")
    assert (failure.kind, failure.exit_code) == (kind, code)
    assert failure.why


def test_json_is_one_document_with_the_details(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(said(errors.GuestError("no", actor="a1", value=b"\x00"), capsys, as_json=True))["error"]
    assert document["code"] == "guest-error"
    assert document["exit_code"] == 1
    assert document["details"]["ran"] == "committed"
    assert document["details"]["actor"] == "a1"


def test_the_traceback_of_a_bug_goes_into_a_file_and_not_to_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    try:
        raise ZeroDivisionError("oh")
    except ZeroDivisionError as error:
        text = said(error, capsys)
    assert "Traceback" not in text
    place = tmp_path / "theater-bus" / "errors.log"
    assert str(place) in text
    kept = place.read_text()
    assert "ZeroDivisionError: oh" in kept
    assert text.partition("correlation ")[2].split()[0] in kept


def test_a_place_that_cannot_be_written_is_no_second_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(blocked))
    assert "--debug" in failure_of(ZeroDivisionError(), "").fix


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.GuestError("no")
    report(failure_of(error, "x"), error, as_json=False, debug=True)
    assert "theater_bus.errors.GuestError" in capsys.readouterr().err
