"""`theater-bus completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click

from theater_bus.cli.command import define
from theater_bus.cli.failure import CommandFailed
from theater_bus.cli.invocation import Invocation

__all__ = ["command"]


@define("completion", short_help="Print a completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(invocation: Invocation, shell: str) -> None:
    """Print the completion script for SHELL. For bash: eval "$(theater-bus completion bash)"."""
    from click.shell_completion import get_completion_class

    invocation.doing = f"print the completion script for {shell}"
    root = click.get_current_context().find_root()
    program = root.info_name or "theater-bus"
    made = get_completion_class(shell)
    if made is None:
        raise CommandFailed(f"this click knows no completion for {shell}", "update click")
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    script = made(root.command, {}, program, variable).source()
    invocation.out.document({"shell": shell, "script": script}, lambda: script)
