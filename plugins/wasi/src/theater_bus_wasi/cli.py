"""`wasi:cli`: environment, arguments and standard streams, by grant; there is never a terminal."""

from __future__ import annotations

from typing import Any

from theater_bus.capability import HandlerError
from theater_bus_wasi.streams import InputStream, OutputStream, TextSink
from theater_bus_wasi.table import Group, named

__all__ = ["Cli"]


class Cli(Group):
    """The interfaces of `wasi:cli`. Without grants: no variables, no arguments, streams that are closed."""

    @named("wasi:cli/environment.get-environment")
    def get_environment(self) -> list[list[str]]:
        return [list(one.partition("=")[::2]) for one in self.settings.environment]

    @named("wasi:cli/environment.get-arguments")
    def get_arguments(self) -> list[str]:
        return list(self.settings.arguments)

    @named("wasi:cli/environment.initial-cwd")
    def initial_cwd(self) -> str | None:
        return None

    @named("wasi:cli/stdin.get-stdin")
    def get_stdin(self) -> int:
        return self.table.put(InputStream())

    @named("wasi:cli/stdout.get-stdout", "wasi:cli/stderr.get-stderr")
    def get_output(self) -> int:
        return self.table.put(TextSink(self.wasi.context.guest_log) if self.settings.stdio else OutputStream())

    @named(
        "wasi:cli/terminal-stdin.get-terminal-stdin",
        "wasi:cli/terminal-stdout.get-terminal-stdout",
        "wasi:cli/terminal-stderr.get-terminal-stderr",
    )
    def get_terminal(self) -> None:
        return None

    @named("wasi:cli/exit.exit")
    def exit(self, status: dict[str, Any]) -> None:
        raise HandlerError(f"wasi: the guest called exit with {next(iter(status))}", reason="exit")

    @named("wasi:cli/exit.exit-with-code")
    def exit_with_code(self, code: int) -> None:
        raise HandlerError(f"wasi: the guest called exit with code {code}", reason="exit")
