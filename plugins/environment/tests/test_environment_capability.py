"""The environment capability: its page, what is granted and what is not, hostile names."""

from __future__ import annotations

import os
from typing import Any

import pytest

from theater_bus.errors import SpawnRefused, TypeMismatch
from theater_bus_environment import Environment


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PLACE_A": "a", "PLACE_B": "", "PLACEHOLDER": "p", "THEATER_BUS_OF_A_TEST": "secret"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PLACE_GONE", raising=False)


async def test_nothing_is_granted_by_default(start_harness: Any) -> None:
    environment = await start_harness(Environment)
    for name in os.environ:
        assert await environment.call("get-var", name) is None
        assert await environment.call("exists", name) is False
    assert await environment.call("list-vars") == []


async def test_names_and_prefixes_are_granted_and_nothing_beside_them(start_harness: Any) -> None:
    environment = await start_harness(Environment, {"vars": ["PLACE_A", "PLACE_GONE"], "list": True})
    assert await environment.call("get-var", "PLACE_A") == "a"
    assert await environment.call("get-var", "PLACE_GONE") is None
    assert await environment.call("exists", "PLACE_B") is False
    assert await environment.call("list-vars") == [["PLACE_A", "a"]]
    environment = await start_harness(Environment, {"prefixes": ["PLACE_"], "list": True})
    assert await environment.call("list-vars") == [["PLACE_A", "a"], ["PLACE_B", ""]]
    assert await environment.call("exists", "PLACE_B") is True
    assert await environment.call("get-var", "PLACEHOLDER") is None


async def test_to_list_is_a_grant_of_its_own(start_harness: Any) -> None:
    environment = await start_harness(Environment, {"vars": ["PLACE_A"]})
    assert await environment.call("list-vars") == []
    assert await environment.call("exists", "PLACE_A") is True


async def test_the_hosts_own_settings_are_granted_to_nobody(start_harness: Any) -> None:
    everything = {"vars": ["THEATER_BUS_OF_A_TEST"], "prefixes": ["T", "THEATER_BUS_"], "list": True}
    environment = await start_harness(Environment, everything)
    assert await environment.call("get-var", "THEATER_BUS_OF_A_TEST") is None
    assert await environment.call("exists", "THEATER_BUS_OF_A_TEST") is False
    assert all(not name.startswith("THEATER_BUS_") for name, _ in await environment.call("list-vars"))


@pytest.mark.parametrize("name", ["", "\0", "PLACE_A\0", "PLACE_A=a", "=", "place_a", " PLACE_A", "X" * 1_000_000, "ä"])
async def test_hostile_names_are_of_nothing(start_harness: Any, name: str) -> None:
    environment = await start_harness(Environment, {"vars": ["PLACE_A"], "prefixes": ["PLACE_B"]})
    assert await environment.call("get-var", name) is None
    assert await environment.call("exists", name) is False


async def test_a_value_that_is_no_text_is_shown(start_harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE_A", os.fsdecode(b"a\xff"))
    environment = await start_harness(Environment, {"vars": ["PLACE_A"], "list": True})
    assert await environment.call("get-var", "PLACE_A") == "a\ufffd"
    assert await environment.call("list-vars") == [["PLACE_A", "a\ufffd"]]


@pytest.mark.parametrize("wrong", [1, None, b"a", ["a"], True])
async def test_wrong_types_never_reach_the_capability(start_harness: Any, wrong: object) -> None:
    with pytest.raises(TypeMismatch):
        await (await start_harness(Environment)).call("get-var", wrong)


@pytest.mark.parametrize(
    "wrong", [{"prefixes": [""]}, {"vars": ["A=B"]}, {"vars": ["a\0"]}, {"vars": "A"}, {"list": 1}, {"deny": ["A"]}]
)
async def test_a_wrong_setting_refuses_the_spawn_and_names_the_right_ones(start_harness: Any, wrong: Any) -> None:
    with pytest.raises(SpawnRefused, match=r"\[capabilities.environment\].*its settings are list, prefixes, vars"):
        await start_harness(Environment, wrong)


async def test_host_and_parent_cut_what_the_manifest_asks_for(start_host: Any) -> None:
    host = await start_host(Environment, grants={"environment": {"vars": ["PLACE_A", "PLACE_B"], "prefixes": []}})
    asked = {"vars": ["PLACE_A", "PLACE_B", "PLACEHOLDER"], "prefixes": ["PLACE"], "list": True}
    await host.spawn(Environment, id="parent", capabilities={"environment": {"vars": ["PLACE_A"], "list": True}})
    orphan = await host.spawn(Environment, capabilities={"environment": asked})
    child = await host.spawn(Environment, parent="parent", capabilities={"environment": asked})
    assert await orphan.call_function("list-vars") == [["PLACE_A", "a"], ["PLACE_B", ""]]
    assert await child.call_function("list-vars") == [["PLACE_A", "a"]]
    assert await child.call_function("get-var", ["PLACE_B"]) is None
