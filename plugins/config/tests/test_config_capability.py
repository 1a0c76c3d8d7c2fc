"""The functions of `config` alone: what is granted is answered, everything else names the line that is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError, Secret, SecretRefused, has_handle, hide_secrets, with_secrets
from theater_bus.errors import SpawnRefused
from theater_bus_config import Config

Operator = Callable[..., dict[str, Any]]


async def test_values_are_texts_and_only_those_that_are_granted(start_harness: Any, operator: Operator) -> None:
    names = ("region", "limit", "ratio", "fast", "not-there")
    config = await start_harness(Config, {"values": names}, config=operator())
    assert await config.call("names") == ["fast", "limit", "ratio", "region"]
    assert [await config.call("get", name) for name in ("region", "limit", "ratio", "fast")] == [
        "eu-west-1",
        "20",
        "0.5",
        "true",
    ]
    with pytest.raises(CapabilityError, match=r"no value 'not-there'\. Fix: add it to \[values\]"):
        await config.call("get", "not-there")


@pytest.mark.parametrize("name", ["ü", "", "../../etc/passwd", "region\0", "REGION", "x" * 100_000])
async def test_a_value_that_is_not_granted_is_refused_with_the_line_to_add(
    start_harness: Any, operator: Operator, name: str
) -> None:
    config = await start_harness(Config, {"values": ["region"]}, config=operator())
    with pytest.raises(
        CapabilityError, match=r"config\.values does not name .*`values` under \[capabilities\.config\]"
    ):
        await config.call("get", name)


async def test_a_secret_is_a_handle(start_harness: Any, operator: Operator) -> None:
    config = await start_harness(Config, {"secrets": ["api-key@a.com", "other"]}, config=operator())
    assert await config.call("secrets") == ["api-key", "other"]
    assert await config.call("secret", "api-key") == "secret:api-key"
    with pytest.raises(CapabilityError, match=r"config\.secrets does not name 'third'\. Fix: add"):
        await config.call("secret", "third")


async def test_its_value_goes_where_all_sides_say_and_nowhere_else(
    start_harness: Any, operator: Operator, planted: str
) -> None:
    granted = {"secrets": ["api-key@*.a.com", "api-key@b.com"]}
    config = await start_harness(Config, granted, config=operator(hosts=["x.a.com", "c.com"]))
    secret = await config.context.secret("secret:api-key", "x.a.com")
    assert secret.reveal() == planted
    with pytest.raises(SecretRefused, match=r"operator does not let secret 'api-key' go to 'b\.com'"):
        await config.context.secret("secret:api-key", "b.com")
    with pytest.raises(SecretRefused, match=r'add "api-key@c\.com" to `secrets` under \[capabilities\.config\]'):
        await config.context.secret("secret:api-key", "c.com")
    for handle in ("api-key", "secret:", "secret:a b", "secret:api-key\n", "Secret:api-key", ""):
        with pytest.raises(SecretRefused, match=r'no handle of a secret\. Fix: write "secret:NAME"'):
            await config.context.secret(handle, "x.a.com")


@pytest.mark.parametrize("destination", ["", "x.a.com\0", "x.a.com:443", "*.a.com", "X.A.COM.evil", "a" * 5000])
async def test_a_destination_that_is_no_granted_host_gets_nothing(
    start_harness: Any, operator: Operator, planted: str, destination: str
) -> None:
    config = await start_harness(Config, {"secrets": ["api-key@x.a.com"]}, config=operator(hosts=["x.a.com"]))
    with pytest.raises(SecretRefused) as caught:
        await config.context.secret("secret:api-key", destination)
    assert planted not in str(caught.value)


async def test_seeing_a_secret_needs_the_actors_grant_and_the_operators_word(
    start_harness: Any, operator: Operator, planted: str
) -> None:
    hidden = await start_harness(Config, {"secrets": ["api-key"]}, config=operator(reveal=True))
    with pytest.raises(CapabilityError, match=r"config\.reveal does not let .*`reveal = true`"):
        await hidden.call("reveal", "api-key")
    assert hidden.context.meter.events == []
    mine = {"secrets": ["api-key"], "reveal": True}
    kept = await start_harness(Config, mine, config=operator())
    with pytest.raises(CapabilityError, match=r"operator does not let guests see .*set reveal in \[secrets\.api-key\]"):
        await kept.call("reveal", "api-key")
    shown = await start_harness(Config, mine, config=operator(reveal=True))
    assert await shown.call("reveal", "api-key") == planted
    [(name, fields)] = shown.context.meter.events
    assert (name, fields["reason"]) == ("config.revealed", "reveal = true for api-key")


async def test_a_value_is_read_when_it_is_needed_so_a_new_one_counts_at_once(
    start_harness: Any, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = operator(hosts=["a.com"])
    tables["secrets"]["from-env"] = {"env": "PLANTED_IN_ENV", "hosts": ["a.com"]}
    monkeypatch.setenv("PLANTED_IN_ENV", "one")
    config = await start_harness(Config, {"secrets": ["api-key@a.com", "from-env@a.com"]}, config=tables)

    async def now(name: str) -> str:
        secret: Secret = await config.context.secret(f"secret:{name}", "a.com")
        return secret.reveal()

    assert await now("from-env") == "one"
    monkeypatch.setenv("PLANTED_IN_ENV", "two")
    path = Path(tables["secrets"]["api-key"]["file"])
    path.write_text("three")
    assert [await now("from-env"), await now("api-key")] == ["two", "three"]
    path.write_bytes(b"\xff")
    with pytest.raises(SecretRefused, match="cannot be read now"):
        await now("api-key")


async def test_handles_are_found_in_texts_and_values_hidden_in_answers(
    start_harness: Any, operator: Operator, planted: str
) -> None:
    config = await start_harness(Config, {"secrets": ["api-key@a.com"]}, config=operator(hosts=["a.com"]))
    text, used = await with_secrets(config.context, "Bearer secret:api-key, secret:api-key; nosecret:api-key", "a.com")
    assert text == f"Bearer {planted}, {planted}; nosecret:api-key"
    assert hide_secrets(f"you sent {planted}".encode(), used) == b"you sent secret:api-key"
    assert await with_secrets(config.context, "plain", "a.com") == ("plain", ())
    assert has_handle("x secret:a y")
    assert not has_handle("secrets:a secret:")
    with pytest.raises(SecretRefused):
        await with_secrets(config.context, "secret:api-key secret:unknown", "a.com")


async def test_a_secret_shows_itself_nowhere(planted: str) -> None:
    import copy
    import pickle

    secret = Secret("secret:api-key", planted)
    assert planted not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    for taken in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="stays in this process"):
            taken(secret)


@pytest.mark.parametrize(
    "settings",
    [{"values": "all"}, {"secrets": ["api key@a.com"]}, {"secrets": ["k@http://a.com"]}, {"reveal": 1}, {"secret": []}],
)
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="config"):
        await start_harness(Config, settings)
