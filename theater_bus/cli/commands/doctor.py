"""`theater-bus doctor`: what is wrong with this installation and this server, and what to do about it."""

from __future__ import annotations

from theater_bus.cli.command import define
from theater_bus.cli.exit_code import ExitCode
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import facts, hanging

__all__ = ["command"]

_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}


@define("doctor", short_help="Find out what is wrong with this installation and server.")
def command(invocation: Invocation) -> int:
    """Check this installation, the server and its permissions. Exit 1 when something fails; a warning is no failure."""
    from theater_bus.cli.checkup import check_machine, check_server

    invocation.doing = "examine this installation"
    findings = check_machine() + invocation.run(lambda: check_server(invocation.bus(), invocation.namespace))
    failed = any(finding.verdict == "fail" for finding in findings)

    def text() -> str:
        width = max(len(finding.name) for finding in findings)
        lines = []
        for finding in findings:
            mark = f"{finding.verdict:<4}"
            if invocation.out.colours:
                mark = f"\x1b[{_COLOURS[finding.verdict]}m{mark}\x1b[0m"
            what = hanging(finding.what, width + 8, invocation.out.columns)
            lines.append(f"{mark}  {finding.name:<{width}}  {what}")
            if finding.fix:
                fix = hanging(f"Fix: {finding.fix}", width + 8, invocation.out.columns)
                lines.append(f"{'':<{width + 8}}{fix}")
        return "\n".join(lines)

    invocation.out.document({"ok": not failed, "findings": facts(findings)}, text)
    return ExitCode.FAILED if failed else ExitCode.OK
