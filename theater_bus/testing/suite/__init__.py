"""What holds for every capability, as one line in its tests:

    test_conformance = conformance(Clock, settings={"sleep_max_ms": 60_000}, examples=[Example("sleep", 1_000_000)])

It becomes a test per point: names, types, grants, cancellation, deadline, non-blocking, replay, snapshot, telemetry and
end. The capability is looked at, then run once in a real host, through a guest that relays to its functions; the
examples are called by a component too. Functions without an example are called with ordinary values of their types.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from theater_bus.capability import Capability
from theater_bus.errors import PluginError
from theater_bus.plugins import compile_capability
from theater_bus.testing.suite.case import POINTS, Case, Example, Finding
from theater_bus.testing.suite.declared import check_declarations
from theater_bus.testing.suite.visit import visit

__all__ = ["POINTS", "Case", "Example", "Finding", "conformance", "examine"]


def conformance(cls: type[Capability], **options: Any) -> Callable[[str], Awaitable[None]]:
    """A test for pytest (with pytest-asyncio) that checks `cls`, once per point. The options are those of `examine`."""
    import pytest

    found: list[Finding] = []
    ran = False

    async def test(point: str) -> None:
        nonlocal ran
        if not ran:
            found.extend(await examine(cls, **options))
            ran = True
        mine = [str(finding) for finding in found if finding.point == point]
        if mine:
            pytest.fail("\n\n".join(mine), pytrace=False)

    test.__doc__ = f"{cls.__name__} does what is asked of every capability."
    return pytest.mark.asyncio(pytest.mark.parametrize("point", POINTS)(test))


async def examine(
    cls: type[Capability],
    *,
    settings: Mapping[str, Any] | None = None,
    examples: Sequence[Example] = (),
    refused: Sequence[Example] = (),
    waiting: Example | None = None,
    **surroundings: Any,
) -> list[Finding]:
    """What is wrong with a capability; empty when nothing is.

    `settings` are what an actor needs for the `examples`. `refused` are calls that the default settings, or those of
    the example, do not allow; a capability with bounds shows at least one. `waiting` is a call that waits long enough
    to be cancelled. Further, as keywords:

    * `beside`: further capabilities of the actor with their settings, of plugins named in `installed`;
    * `handlers`: a capability that stands for the actor's own code, see `relay_guest`;
    * `prepare`: given the running host, an async context manager around all that happens there; it may give options in
      place of these (`{"examples": …}`) that are known only then;
    * `host`, `spawn`, `harness`: options of `running_host`, `RunningHost.spawn` and `capability_harness`;
    * `needs_host`: what its snapshots speak of exists in a host only, not in a harness;
    * `plugin`: the name under which it is installed, where no entry point says so;
    * `read_elsewhere`: settings that only the host reads, or code that no call reaches.
    """
    case = Case(cls, settings or {}, tuple(examples), tuple(refused), waiting, **surroundings)
    try:
        type_ = await asyncio.to_thread(compile_capability, "the capability under test", cls)
    except PluginError as error:
        return [Finding("types", error.subject, error.problem, error.fix)]
    findings = list(check_declarations(case, type_))
    if any(finding.where.endswith(".Settings") and "derive it" in finding.fix for finding in findings):
        return findings
    # In a task of its own, so that a capability that a test module defines is not taken for the caller below it.
    try:
        return findings + await asyncio.create_task(visit(case, type_))
    except PluginError as error:
        point = "telemetry" if error.subject == "theater_telemetry" else "names"
        return [*findings, Finding(point, error.subject, error.problem, error.fix)]
