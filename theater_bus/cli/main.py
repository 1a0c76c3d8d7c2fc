"""The entry point `theater-bus` (and `tbus`): which commands there are, and how every run of them ends.

Importing this imports click and nothing heavier; a command's module is imported when the command is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

import click

from theater_bus.cli.command import LazyGroup, Listed, ReaderGone, adopt
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.failure import failure_of, report
from theater_bus.cli.invocation import Invocation

__all__ = ["cli", "main", "run"]

_WHERE: Final = "theater_bus.cli.commands"


def _listed(section: str, **summaries: str) -> dict[str, Listed]:
    return {name: Listed(f"{_WHERE}.{name}", summary, section) for name, summary in summaries.items()}


COMMANDS: Final = {
    **_listed(
        "Run",
        demo="See everything at work in one minute, on this machine alone.",
        serve="Run a host: the process that actors live in.",
        init="Prepare a namespace: what its hosts may not make themselves.",
        spawn="Start an actor from its manifest.",
    ),
    **_listed(
        "Call",
        call="Call a function of an actor and print its result.",
        send="Send an operation one way; nobody answers.",
    ),
    **_listed(
        "Look",
        ps="List the actors and where they run.",
        status="Say what an actor is and does.",
        state="Print an actor's state.",
        chain="Print, follow, verify or export an actor's event chain.",
        metrics="Print an actor's counts and times.",
        grants="Say what an actor may use, and who cut what.",
    ),
    **_listed(
        "Steer",
        pause="Keep what arrives in the mailbox.",
        resume="Go on after a pause.",
        shutdown="Stop an actor in order (also: stop).",
        terminate="Stop an actor at once.",
        cancel="End one operation, queued or running.",
        approve="Decide about a call that waits for a person.",
    ),
    **_listed(
        "Build",
        inspect="Say what a WebAssembly file is and needs.",
        build="Make a guest from text, C or a module and its pact.",
        wit="Write a pact as WIT, for components in any language.",
        plugins="List, show and check the plugins.",
        new="Write the beginning of something new.",
    ),
    **_listed(
        "This program",
        doctor="Find out what is wrong with this installation and server.",
        version="Print the versions of everything that matters.",
        completion="Print a completion script for a shell.",
    ),
}


def _of_plugins(name: str) -> click.Command | None:
    """The command that a plugin adds under this name. Plugins are looked for only when no other command fits."""
    from importlib import import_module

    from theater_bus.plugins import PluginRegistry, find

    if not find():
        return None
    target = PluginRegistry.discover().commands.get(name)
    if target is None:
        return None
    module, _, attribute = target.partition(":")
    found: click.Command = getattr(import_module(module), attribute)
    return adopt(found)


cli = LazyGroup(
    "theater-bus",
    commands_by_name=COMMANDS,
    aliases={"stop": "shutdown"},
    otherwise=_of_plugins,
    help="WebAssembly actors on NATS: sandboxed, audited, traced.\n\nBegin with `theater-bus demo`.",
    epilog="Plugins may add commands of their own; `theater-bus plugins list` shows them.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Run the command line as this process."""
    _prepare_output()
    sys.exit(run(sys.argv[1:]))


def _prepare_output() -> None:
    """Let no character that the terminal lacks, and no stream that is closed, end a command that did its work."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def run(arguments: Sequence[str], name: str | None = None) -> int:
    """Run one command line and return the exit code; whatever is raised has been reported."""
    invocation = Invocation()
    invocation.out.is_json = _wants_json(arguments)
    try:
        code = cli.main(list(arguments), prog_name=name or _program(), standalone_mode=False, obj=invocation)
        sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.OK
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except (BrokenPipeError, ReaderGone):
        _drop_output()
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001  the last resort: it is reported, and kept where it is a bug
        failure = failure_of(error, invocation.doing)
        report(failure, error, as_json=invocation.out.is_json, debug=invocation.debug or "--debug" in arguments)
        if failure.kind == "output":
            _drop_output()
        return failure.exit_code


def _drop_output() -> None:
    """What is still buffered must not fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _program() -> str:
    name = os.path.basename(sys.argv[0])
    return name if name in ("theater-bus", "tbus") else "theater-bus"


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether errors go out as JSON also when the command line cannot be parsed."""
    wanted = os.environ.get("THEATER_BUS_OUTPUT", "")
    for index, word in enumerate(arguments):
        if word in ("-o", "--output"):
            wanted = "".join(arguments[index + 1 : index + 2])
        elif word.startswith("--output="):
            wanted = word.removeprefix("--output=")
        elif word.startswith("-o") and len(word) > 2:
            wanted = word[2:]
    return wanted == "json"


if __name__ == "__main__":
    main()
