"""From an exception to what a person reads: what failed, why, and what to do; or the same as one JSON document.

Nothing else writes errors. A traceback is shown with `--debug` only; that of a bug is kept in a file.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from pathlib import Path
from typing import Any

import click

from theater_bus.cli.exit_code import ExitCode, exit_code_of
from theater_bus.errors import ActorError, ConfigurationError, ConnectionLost, PluginError, TheaterError

__all__ = ["CommandFailed", "Failure", "failure_of", "report"]

SHOWN = 8
"""Names of functions in a reason."""
_FIX = "Fix: "
_ADVICE = {
    "function-not-found": "`theater-bus status ID` lists its functions",
    "guest-error": "this is the actor's own answer; it is recorded and the actor goes on",
    "operation-timeout": "allow more with --timeout; `theater-bus status ID` says what runs and what waits",
    "outcome-unknown": "send it again with the same --key: it runs once",
    "guest-trap": "mend the guest, or raise the limit that is named; `theater-bus chain ID` shows what led to it",
    "paused": "let it go on with `theater-bus resume ID`",
    "type-mismatch": "`theater-bus status ID` lists the types of its functions",
}
"""What to do in this program's own words, where the guide speaks of the protocol."""
_UNWRITABLE = frozenset({ENOSPC, EDQUOT, EIO, EFBIG})
_MEND_GUEST = "mend the guest: what it gave back is not what it declares, whatever its caller sends"


class CommandFailed(Exception):
    """A command's own error: what failed is the command's `doing`, `why` and `fix` are said here."""

    def __init__(self, why: str, fix: str = "", code: ExitCode = ExitCode.FAILED, **details: Any) -> None:
        super().__init__(why)
        self.why, self.fix, self.code, self.details = why, fix, code, details


@dataclass(frozen=True, slots=True)
class Failure:
    """What is told about an error. `kind` is the error's wire code, or a word of the command line's own."""

    kind: str
    what: str
    why: str
    fix: str
    exit_code: ExitCode
    details: dict[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """The JSON document, under `error`."""
        plain = {"code": self.kind, "what": self.what, "why": self.why, "fix": self.fix or None}
        return {"error": plain | {"exit_code": int(self.exit_code), "details": self.details}}


def failure_of(error: BaseException, doing: str) -> Failure:
    """What to tell about `error`, which ended the attempt to do `doing`."""
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, CommandFailed):
        return Failure("failed", _failed(doing), error.why, error.fix, error.code, error.details)
    if isinstance(error, ActorError):
        return _actor_error(error, doing)
    if isinstance(error, PluginError):
        why = f"plugin {error.plugin!r}, in {error.subject}: {error.problem}"
        return Failure("plugin", _failed(doing), why, error.fix, ExitCode.FAILED)
    if isinstance(error, ConfigurationError):
        why = f"{error.setting}: {error.problem}"
        return Failure("configuration", _failed(doing), why, error.fix, ExitCode.USAGE)
    if isinstance(error, ConnectionLost):
        why = f"no connection to NATS at {error.servers}: {error.reason}"
        fix = error.fix.replace("`servers`", "--server")
        return Failure("no-connection", _failed(doing), why, fix, ExitCode.NO_CONNECTION)
    if isinstance(error, TheaterError):
        why, fix = _split(str(error))
        return Failure(type(error).__name__, _failed(doing), why, fix, exit_code_of(type(error)))
    if isinstance(error, OSError) and error.filename is not None:
        why = f"{error.filename}: {error.strerror}"
        code = ExitCode.NOT_FOUND if isinstance(error, FileNotFoundError) else ExitCode.REFUSED
        return Failure("file", _failed(doing), why, "check the path and its permissions", code)
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        why = f"the output cannot be written: {error.strerror}"
        return Failure("output", _failed(doing), why, "make room, or write elsewhere", ExitCode.FAILED)
    return _bug(error, doing)


def report(failure: Failure, error: BaseException, *, as_json: bool, debug: bool) -> None:
    """Write `failure` to stderr; with `debug` the traceback of `error` before it."""
    if debug:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        import json

        print(json.dumps(failure.as_plain(), ensure_ascii=False, default=repr), file=sys.stderr)
        return
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")

    def paint(text: str, **style: Any) -> str:
        return click.style(text, **style) if colour else text

    print(paint("error: ", fg="red", bold=True) + paint(failure.what, bold=True), file=sys.stderr)
    print(paint("  why: ", fg="yellow") + _indented(failure.why), file=sys.stderr)
    if failure.fix:
        print(paint("  Fix: ", fg="green") + _indented(failure.fix), file=sys.stderr)


def _indented(text: str) -> str:
    return text.replace("\n", "\n       ")


def _failed(doing: str) -> str:
    return f"could not {doing}" if doing else "it failed"


def _split(message: str) -> tuple[str, str]:
    """The reason and the remedy of a message that may end in `Fix: …`."""
    head, found, fix = message.rpartition(_FIX)
    if not found or "\n" in fix:
        return message, ""
    return head.rstrip().removesuffix("."), fix.rstrip().removesuffix(".")


def _actor_error(error: ActorError, doing: str) -> Failure:
    from theater_bus.core.wire.error_guide import GUIDE

    why, fix = _split(error.message.replace("`inbox_prefix`", "--inbox-prefix"))
    why = why.removesuffix(".") + "." + more if (more := _suggested(error)) else why
    guide = GUIDE.get(error.code)
    exit_code = exit_code_of(type(error))
    if error.code == "type-mismatch" and error.ran == "rolled-back":
        fix, exit_code = _MEND_GUEST, ExitCode.FAILED
    # An actor often passes on what a capability said, and that knows the remedy.
    elif not (fix and error.code in ("guest-error", "guest-trap")):
        fix = _ADVICE.get(error.code, "").replace("ID", error.actor or "ID") or fix or (guide.advice if guide else "")
    told = {"rolled-back": "; it was rolled back", "unknown": "; whether it ran is unknown"}.get(error.ran, "")
    details = {**error.details, "actor": error.actor} if error.actor else dict(error.details)
    return Failure(error.code, _failed(doing), f"{error.code}: {why}{told}", fix, exit_code, details)


def _suggested(error: ActorError) -> str:
    """What `theater_bus.cli.suggestion` has found, as the end of a reason; empty where that is nothing."""
    details = error.details
    names = details.get("functions")
    if error.code == "function-not-found" and names is not None:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f" It has {', '.join(names[:SHOWN])}{more}" if names else " It has none that can be called"
    if error.code == "actor-not-found" and details.get("nearest"):
        return f" Did you mean {' or '.join(details['nearest'])}?"
    return ""


def _usage(error: click.UsageError) -> Failure:
    context = error.ctx
    path = context.command_path if context is not None else "theater-bus"
    fix = getattr(error, "fix", "") or f"see `{path} --help`"
    return Failure("usage", f"`{path}` cannot be understood", error.format_message(), fix, ExitCode.USAGE)


def _bug(error: BaseException, doing: str) -> Failure:
    correlation = os.urandom(6).hex()
    why = f"a bug in theater_bus ({type(error).__name__}), correlation {correlation}"
    place = _keep(error, doing, correlation)
    fix = f"report it with the traceback in {place}" if place else "run it again with --debug and report the traceback"
    details = {"correlation": correlation, "log": str(place) if place else None}
    return Failure("bug", _failed(doing), why, fix, ExitCode.BUG, details)


def _keep(error: BaseException, doing: str, correlation: str) -> Path | None:
    """Append the traceback to the log of errors; None where nothing can be written."""
    import tempfile
    import traceback
    from datetime import UTC, datetime

    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    head = f"--- {datetime.now(UTC).isoformat(timespec='seconds')} {correlation} {doing}\n"
    text = head + "".join(traceback.format_exception(error)) + "\n"
    for folder in (Path(state, "theater-bus"), Path(tempfile.gettempdir(), f"theater-bus-{os.getuid()}")):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            place = folder / "errors.log"
            with place.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        return place
    return None
