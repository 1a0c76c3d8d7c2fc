"""Packages that a plugin resolves by their scheme: `package = "shelf://counter"` in a manifest."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.client import Theater
from theater_bus.errors import SpawnRefused
from theater_bus.testing import guest

COUNTER = guest("counter")
MANIFEST = 'name = "c"\ninitial_state = 3\npackage = "{}"\n'


async def shelf(reference: str) -> Any:
    name = reference.removeprefix("shelf://")
    if name == "nothing":
        return None
    if name != "counter":
        raise LookupError(f"there is no {name}")
    return COUNTER.wasm


async def started(start_host: Any, plugin: Any) -> Theater:
    host = await start_host(plugin("shelf", theater_package_resolvers=lambda: {"shelf": shelf}))
    theater: Theater = host.theater
    return theater


async def test_a_host_resolves_what_its_plugin_knows(start_host: Any, plugin: Any) -> None:
    theater = await started(start_host, plugin)
    actor = await theater.spawn(MANIFEST.format("shelf://counter"))
    assert await actor.call_function("increment", [4]) == 7


@pytest.mark.parametrize(
    ("package", "why"),
    [
        ("shelf://teapot", "LookupError: there is no teapot"),
        ("shelf://nothing", "resolved to NoneType"),
        ("oci://counter", "Resolved: shelf://"),
    ],
)
async def test_what_cannot_be_resolved_is_refused_with_the_reason(
    start_host: Any, plugin: Any, package: str, why: str
) -> None:
    theater = await started(start_host, plugin)
    with pytest.raises(SpawnRefused, match=why) as caught:
        await theater.spawn(MANIFEST.format(package))
    assert caught.value.details["package"] == package
    assert await theater.actors() == []
