"""Writes docs/reference/cli.md from the commands themselves.

`render()` gives the page as text; running the file writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from theater_bus.cli.command import LazyGroup, shared_options
from theater_bus.cli.exit_code import MEANING
from theater_bus.cli.main import COMMANDS, cli

PAGE = Path(__file__).resolve().parent.parent / "reference" / "cli.md"

HEAD = """\
# The command line

<!-- Written by docs/generators/cli.py from theater_bus/cli. -->

`theater-bus`, or for short `tbus`. Begin with `theater-bus demo`: it needs nothing and shows everything.

Every command takes `-o json`: its answer is then one JSON document on stdout, or one per line for `serve`, `demo` and
`chain`, which tell bit by bit. Without it the output is for people: tables and lines, in colour on a terminal only, and
never with `NO_COLOR`.

## Errors

An error is three lines on stderr: what failed, why, and what to do. There is never a traceback; of a bug the traceback
is kept in a file, whose name is said, and `--debug` shows it at once.

```text
error: could not call incremnt of actor 'counter'
  why: function-not-found: there is no function 'incremnt'. Did you mean increment or decrement?
  Fix: `theater-bus status counter` lists its functions
```

A name that nothing has is told with what there is, as far as you may ask: functions of the actor, ids that are near.

With `-o json` the same is one document on stderr: `{"error": {"code", "what", "why", "fix", "exit_code", "details"}}`.
`code` is the error's [wire code](errors.md), or `usage`, `configuration`, `no-connection`, `plugin`, `file`, `output`,
`failed` or `bug`; `details.ran` says what became of the operation.

## Exit codes

| code | meaning |
|---|---|
"""

SHARED = """\

## Options of every command

They stand before or after the command. What is typed wins over the variable. Hosts and clients read the other
variables of a connection too: `THEATER_BUS_TOKEN`, `THEATER_BUS_NKEY_SEED_FILE`, `THEATER_BUS_TLS_CA`,
`THEATER_BUS_TLS_CERT`, `THEATER_BUS_TLS_KEY`, `THEATER_BUS_TLS_HOSTNAME`, `THEATER_BUS_TLS_HANDSHAKE_FIRST`.

| option | variable | default | what it is for |
|---|---|---|---|
"""


def render() -> str:
    """The page."""
    exits = "".join(f"| {int(code)} | {meaning} |\n" for code, meaning in MEANING.items())
    lines = [HEAD, exits, SHARED, *map(_shared_row, shared_options()), "\n"]
    context = click.Context(cli, info_name="theater-bus")
    section = ""
    for name, listed in COMMANDS.items():
        if listed.section != section:
            section = listed.section
            lines.append(f"## {section}\n\n")
        found = cli.get_command(context, name)
        assert found is not None
        lines.extend(_command(found, context))
    return "".join(lines).rstrip("\n") + "\n"


def _command(command: click.Command, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, parent=parent, info_name=command.name)
    words = " ".join(_usage(command, context))
    yield f"### `{context.command_path}{' ' if words else ''}{words}`\n\n{_prose(command.help or '')}\n\n"
    rows = [row for option in _own_options(command) if (row := _row(option))]
    if rows:
        yield "| option | what it is for |\n|---|---|\n"
        yield from rows
        yield "\n"
    if isinstance(command, LazyGroup):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _command(found, context)


def _usage(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield parameter.make_metavar(context)
    if isinstance(command, LazyGroup):
        yield "COMMAND"


def _own_options(command: click.Command) -> Iterable[click.Option]:
    shared = {option.name for option in shared_options()}
    return (one for one in command.params if isinstance(one, click.Option) and one.name not in shared)


def _row(option: click.Option) -> str:
    extra = [f"default {option.default}"] if option.show_default else []
    extra += [f"variable `{option.envvar}`"] if option.envvar else []
    note = f" ({'; '.join(extra)})" if extra else ""
    return f"| `{_names(option)}` | {_cell(option.help or '')}{note} |\n"


def _shared_row(option: click.Parameter) -> str:
    assert isinstance(option, click.Option)
    variable = f"`{option.envvar}`" if option.envvar else ""
    default = f"`{option.default}`" if option.show_default else ""
    return f"| `{_names(option)}` | {variable} | {default} | {_cell(option.help or '')} |\n"


def _names(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if option.is_flag:
        return names
    if isinstance(option.type, click.Choice):
        return names + " " + "\\|".join(map(str, option.type.choices))
    return f"{names} {option.metavar or (option.type.name or 'TEXT').upper()}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
