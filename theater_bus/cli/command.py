"""What commands are made of: the options that every one takes, and groups that import their commands late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from theater_bus.cli.invocation import Invocation

__all__ = ["Command", "LazyGroup", "Listed", "ReaderGone", "UsageProblem", "adopt", "define", "shared_options"]

_SHARED_SECTION: Final = "Options of every command"


class ReaderGone(Exception):
    """Whoever read our output has closed it."""


class UsageProblem(click.UsageError):
    """A usage error that knows the remedy."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def _take(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Note a shared option. What stands nearer to the command wins, and what was typed wins over the environment."""
    invocation = context.find_object(Invocation)
    assert invocation is not None
    assert option.name is not None
    typed = context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    if typed or option.name not in invocation.given:
        invocation.given[option.name] = value
        if typed:
            invocation.typed.add(option.name)
            if option.name == "output":
                invocation.out.is_json = value == "json"
    return value


def shared_options() -> list[click.Parameter]:
    """The options that stand before or after any command."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_take, **settings)

    return [
        option(
            "-s",
            "--server",
            envvar="THEATER_BUS_SERVERS",
            default="nats://127.0.0.1:4222",
            show_default=True,
            show_envvar=True,
            help="Address of NATS; several, separated by commas, are one cluster.",
        ),
        option(
            "-n",
            "--namespace",
            envvar="THEATER_BUS_NAMESPACE",
            default="default",
            show_default=True,
            show_envvar=True,
            help="The namespace.",
        ),
        option(
            "--creds",
            envvar="THEATER_BUS_CREDS_FILE",
            type=click.Path(path_type=Path, dir_okay=False),
            show_envvar=True,
            help="A .creds file (JWT and seed).",
        ),
        option("--user", envvar="THEATER_BUS_USER", show_envvar=True, help="User name, with --password."),
        option("--password", envvar="THEATER_BUS_PASSWORD", show_envvar=True, help="Better given in the variable."),
        option(
            "--inbox-prefix",
            envvar="THEATER_BUS_INBOX_PREFIX",
            default="_INBOX",
            show_default=True,
            show_envvar=True,
            help="Where replies arrive, for users with an inbox of their own.",
        ),
        option(
            "--timeout",
            envvar="THEATER_BUS_TIMEOUT",
            type=click.FloatRange(0, 86_400, min_open=True),
            default=30.0,
            show_default=True,
            show_envvar=True,
            metavar="SECONDS",
            help="How long to wait for an answer; queueing counts.",
        ),
        option(
            "-o",
            "--output",
            envvar="THEATER_BUS_OUTPUT",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            show_envvar=True,
            help="Text for people or JSON for programs; errors on stderr alike.",
        ),
        option("--debug", is_flag=True, help="Show tracebacks."),
    ]


class _Sectioned(click.Command):
    """Help in two sections: a command's own options, then those of every command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; an error of its parser, such as an option without its value, knows whose help explains it."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shared = {option.name for option in shared_options()}
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                (common if parameter.name in shared else own).append(record)
        for title, records in (("Options", own), (_SHARED_SECTION, common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Command(_Sectioned):
    """A command with the shared options."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params.extend(shared_options())


def adopt(command: click.Command) -> click.Command:
    """Give a plugin's command, and those below it, the options of every command, but none whose name it uses itself."""
    taken = {word for parameter in command.params for word in parameter.opts}
    command.params.extend(option for option in shared_options() if taken.isdisjoint(option.opts))
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        adopt(below)
    return command


def define(name: str, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function whose first parameter is the `Invocation`. What it returns is the exit code."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def entered(*args: Any, **kwargs: Any) -> Any:
            context = click.get_current_context()
            invocation = context.find_object(Invocation)
            assert invocation is not None
            invocation.doing = invocation.doing or f"run `{context.command_path}`"
            try:
                return function(invocation, *args, **kwargs)
            except BrokenPipeError:
                # click would end the process with 1; to stop reading, as `head` does, is no failure.
                raise ReaderGone from None

        return click.command(name, cls=Command, **settings)(entered)

    return decorate


def _show_help_alone() -> None:
    """What a group does when no command follows."""
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        print(context.get_help())


@dataclass(frozen=True, slots=True)
class Listed:
    """A command that a group knows of before it is imported: where it is, what it does, and its heading in the help."""

    module: str
    summary: str
    section: str


class LazyGroup(_Sectioned, click.Group):
    """A group that imports a command when it is called. `aliases` are other names; they are not listed."""

    def __init__(
        self,
        name: str,
        *,
        commands_by_name: Mapping[str, Listed],
        aliases: Mapping[str, str] | None = None,
        otherwise: Callable[[str], click.Command | None] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(
            name, no_args_is_help=False, invoke_without_command=True, callback=_show_help_alone, **settings
        )
        self.listed = commands_by_name
        self.aliases = aliases or {}
        self._otherwise = otherwise
        self.params.extend(shared_options())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(self.listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name; None where there is none."""
        listed = self.listed.get(self.aliases.get(cmd_name, cmd_name))
        if listed is None:
            return self._otherwise(cmd_name) if self._otherwise is not None else None
        found: click.Command = import_module(listed.module).command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; for a word that is no command, the nearest ones are named."""
        name = args[0]
        found = self.get_command(ctx, name)
        if found is not None:
            return found.name, found, args[1:]
        if name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = get_close_matches(name, [*self.listed, *self.aliases], 1)
        fix = f"did you mean `{ctx.command_path} {near[0]}`?" if near else f"see `{ctx.command_path} --help`"
        problem = UsageProblem(f"there is no command {name!r}", fix)
        problem.ctx = ctx
        raise problem

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, then the options."""
        self.format_commands(ctx, formatter)
        _Sectioned.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing one."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, listed in self.listed.items():
            sections.setdefault(listed.section, []).append((name, listed.summary))
        width = max(map(len, self.listed))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])
