"""Packages that a plugin resolves by their scheme: `package = "shelf://counter"` in a manifest."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.client import Theater
from theater_bus.errors import SpawnRefused

MANIFEST = 'name = "c"\ninitial_state = 3\npackage = "{}"\n'


@pytest.fixture
async def theater(start_host: Any, plugin: Any, wasm_of: Any) -> Theater:
    """A client of a host with a shelf of packages."""

    async def shelf(reference: str) -> Any:
        name = reference.removeprefix("shelf://")
        if name == "nothing":
            return None
        if name != "counter":
            raise LookupError(f"there is no {name}")
        return wasm_of("counter")

    host = await start_host(plugin("shelf", theater_package_resolvers=lambda: {"shelf": shelf}))
    theater: Theater = host.theater
    return theater


async def test_a_host_resolves_what_its_plugin_knows(theater: Theater) -> None:
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
async def test_what_cannot_be_resolved_is_refused_with_the_reason(theater: Theater, package: str, why: str) -> None:
    with pytest.raises(SpawnRefused, match=why) as caught:
        await theater.spawn(MANIFEST.format(package))
    assert caught.value.details["package"] == package
    assert await theater.actors() == []
