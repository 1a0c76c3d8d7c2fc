"""`theater-bus grants`: who cut what, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from theater_bus.testing import guest

from .conftest import Served

TICKER = guest("ticker", Path(__file__).parents[2] / "plugins" / "timer" / "tests" / "guests")


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A host that allows fewer timers than the guest in its folder asks for."""
    folder = tmp_path_factory.mktemp("grants")
    (folder / "policy.toml").write_text('[grants.timer]\ntimers = 5\n[grants."*"]\n')
    (folder / "ticker.wasm").write_bytes(TICKER.wasm)
    asked = "[capabilities.timer]\ntimers = 50\nrate = 10\n"
    (folder / "ticker.toml").write_text(TICKER.manifest_text.replace("[capabilities.timer]\n", asked))
    policy = str(folder / "policy.toml")
    served = Served("--embedded", "--port", "0", "--metrics-port", "0", THEATER_BUS_GRANTS=policy)
    try:
        spawned = served.quick("spawn", str(folder / "ticker.toml"), "--id", "ticker")
        assert spawned.code == 0, spawned.err
        yield served
    finally:
        served.end()


def test_all_settings_with_who_cut_them(bounded: Served) -> None:
    rows = [line.split() for line in bounded("grants", "ticker").out.splitlines()]
    assert rows[0] == ["SETTING", "EFFECTIVE", "CUT", "BY"]
    assert ["timer.timers", "5", "host"] in rows
    assert ["timer.rate", "10", "-"] in rows


def test_a_grant_that_allows_nothing_is_shown_too(bounded: Served, tmp_path: Path) -> None:
    (tmp_path / "ticker.wasm").write_bytes(TICKER.wasm)
    manifest = tmp_path / "quiet.toml"
    manifest.write_text(TICKER.manifest_text + "[capabilities.http-client]\nhosts = []\n")
    spawned = bounded.quick("spawn", str(manifest), "--id", "quiet")
    assert spawned.code == 0, spawned.err
    rows = [line.split() for line in bounded.quick("grants", "quiet").out.splitlines()]
    assert ["http-client.hosts", "nothing", "-"] in rows


def test_why_shows_all_sides(bounded: Served) -> None:
    done = bounded.quick("grants", "ticker", "--why", "timer.timers")
    assert done.out.splitlines() == [
        "timer.timers = 5",
        "  manifest asks for  50",
        "  host allows        5  <- cuts it",
        "  parent allows      unlimited",
    ]
    whole = bounded.quick("grants", "ticker", "--why", "timer", "-o", "json").json
    assert whole["second"] == "parent"
    assert {one["setting"]: one["cut_by"] for one in whole["settings"]} == {
        "timers": ["host"],
        "rate": [],
        "waiting": [],
        "missed": [],
    }
    assert whole["settings"][0]["capability"] == "timer"


def test_json_is_the_whole_of_it(bounded: Served) -> None:
    found = bounded.quick("grants", "ticker", "-o", "json").json
    timers = next(one for one in found["settings"] if one["setting"] == "timers")
    assert (found["id"], timers["asked"], timers["effective"], timers["host"]) == ("ticker", 50, 5, 5)


@pytest.mark.parametrize(
    ("why", "problem"),
    [
        ("timer.timer", "did you mean timer.timers?"),
        ("timer.xyzzy", "write it under [capabilities.timer]"),
        ("http-client.hosts", "asks for no 'http-client.hosts'"),
        ("", "''"),
    ],
)
def test_what_it_does_not_have_is_named(bounded: Served, why: str, problem: str) -> None:
    done = bounded.quick("grants", "ticker", "--why", why)
    assert (done.code, problem in done.err) == (2, True)


def test_an_actor_that_does_not_exist_is_not_found(bounded: Served) -> None:
    assert bounded.quick("grants", "nobody").code == 3
