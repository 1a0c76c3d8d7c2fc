"""`theater-bus grants`: what an actor may use, and which of host, parent and manifest cut what."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from theater_bus.cli.command import UsageProblem, define
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import facts, json_form

if TYPE_CHECKING:
    from theater_bus.client import GrantedSetting, GrantsReport

__all__ = ["command"]


@define("grants", short_help="Say what an actor may use, and who cut what.")
@click.argument("actor_id", metavar="ID")
@click.option("--why", metavar="CAPABILITY[.SETTING]", help="Only this, with what each side says.")
def command(invocation: Invocation, actor_id: str, why: str | None) -> None:
    """Print what actor ID may use: what its manifest asks for, cut down by its host and its parent.

    With --why all sides of one setting, or of all settings of one capability, are shown. For an actor that came back
    with its host, what was recorded of it stands in for its parent.
    """
    invocation.doing = f"read the grants of actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater() as theater:
            report = await theater.actor(actor_id).inspect.grants(timeout=invocation.timeout_s)
        chosen = report.settings if why is None else _chosen(report, actor_id, why)
        plain = {"id": actor_id, "second": report.second, "settings": json_form(facts(chosen))}
        if why is not None:
            invocation.out.document(plain, lambda: "\n\n".join(_sides(one, report.second) for one in chosen))
            return
        rows = [(one.name, _shown(one.effective), " and ".join(one.cut_by) or "-") for one in chosen]
        capabilities = ", ".join(report.capabilities)
        empty = f"nothing to bound: {capabilities}" if capabilities else "no capability"
        invocation.out.table(plain, ("SETTING", "EFFECTIVE", "CUT BY"), rows, empty)

    invocation.run(main)


def _chosen(report: GrantsReport, actor_id: str, why: str) -> Sequence[GrantedSetting]:
    """The settings that `why` names. Raises `UsageProblem` for none."""
    chosen = [one for one in report.settings if why in (one.name, one.capability)]
    if chosen:
        return chosen
    if why in report.capabilities:
        raise UsageProblem(f"{why} has no setting that is a grant", "leave --why out")
    raise UsageProblem(f"actor {actor_id!r} asks for no {why!r}, so it has none of it", _remedy(report, why))


def _remedy(report: GrantsReport, why: str) -> str:
    """What to write instead of `why`, which is nothing that the actor has."""
    capability, _, setting = why.partition(".")
    if setting and capability in report.capabilities:  # its name must not make all its settings look alike
        near = get_close_matches(setting, [one.setting for one in report.settings if one.capability == capability], 1)
        unlisted = f"write it under [capabilities.{capability}]; `theater-bus plugins show PLUGIN` lists settings"
        return f"did you mean {capability}.{near[0]}?" if near else unlisted
    known = [*report.capabilities, *(one.name for one in report.settings)]
    near = get_close_matches(why, known, 1)
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}" if known else "leave --why out"


def _sides(one: GrantedSetting, second: str) -> str:
    """What each side says of a setting, a line each; who cut it has a mark."""
    rows = [("manifest asks for", one.asked, False), ("host allows", one.host, "host" in one.cut_by)]
    rows.append((f"{second} allows", one.parent, second in one.cut_by))
    lines = [f"  {what:18} {_shown(value)}{'  <- cuts it' if cuts else ''}" for what, value, cuts in rows]
    return "\n".join([f"{one.name} = {_shown(one.effective)}", *lines])


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(json_form(value))
