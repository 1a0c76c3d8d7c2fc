"""No path of an actor's life widens a grant: spawn, restart, recovery on other hosts, a new manifest, children of any
generation. Through the functions that hosts use, with a capability that has a setting of every kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theater_bus.capability import (
    ENDPOINTS,
    FLAG,
    HOSTS,
    NUMBER,
    OWN,
    PATHS,
    SECRETS,
    STRINGS,
    SUBJECTS,
    Capability,
)
from theater_bus.capability import Settings as BaseSettings
from theater_bus.core.chain.events import unpack
from theater_bus.core.grants import ALL, NOTHING, UNLIMITED, Grants
from theater_bus.errors import ConfigurationError, SpawnRefused
from theater_bus.host.granting import Granted, grant, read_policy
from theater_bus.plugins import compile_capability

Many = tuple[str, ...] | Literal["unlimited", "nothing"]


class Everything(Capability):
    """A setting of each kind, and one that is nobody's bound."""

    name = "everything"
    pact = '\ninterface everything { @package: string = "test:grants" exports { nothing: func() } }\n'

    class Settings(BaseSettings):
        """Defaults that allow little."""

        number: Annotated[float | Literal["unlimited", "nothing"], NUMBER] = 1.0
        flag: Annotated[bool | Literal["unlimited", "nothing"], FLAG] = False
        strings: Annotated[Many, STRINGS] = ()
        paths: Annotated[Many, PATHS] = ()
        hosts: Annotated[Many, HOSTS] = ()
        secrets: Annotated[Many, SECRETS] = ()
        subjects: Annotated[Many, SUBJECTS] = ()
        endpoints: Annotated[Many, ENDPOINTS] = ()
        exact: str = "same"
        own: Annotated[str, OWN] = "mine"

    def nothing(self) -> None:
        """Nothing."""


TYPE = compile_capability("the test", Everything)
CAPABILITIES = {TYPE.name: TYPE}
KINDS = Everything.grant_bounds()
TEXTS: dict[str, list[str]] = {
    "strings": ["GET", "PUT", "a"],
    "paths": ["/", "/a", "/a/b", "/ab", "a"],
    "hosts": ["a.com", "*.a.com", "x.a.com", "*.x.a.com", "10.0.0.1"],
    "secrets": ["key", "key@a.com", "key@*.a.com", "key@x.a.com", "other@*.a.com"],
    "subjects": ["a", "a.b", "a.*", "*.b", "a.>", ">", "a.b.c"],
    "endpoints": ["*:443", "*:*", "a.com:443", "x.a.com:1-500", "*.a.com:*", "10.0.0.0/8:*", "10.1.2.3:443"],
}
PROBES: dict[str, list[Any]] = {
    **TEXTS,
    "number": [-1, 0, 1, 2.5, 3, 1e9],
    "flag": [True, False],
    "exact": ["same", "other"],
}
EXTREMES = st.sampled_from(["unlimited", "nothing"])


def some(setting: str) -> st.SearchStrategy[Any]:
    """A value of a setting, as a manifest or a policy holds it."""
    if setting == "number":
        return st.sampled_from([-1, 0, 1, 2.5, 3, 1000]) | EXTREMES
    if setting == "flag":
        return st.booleans() | EXTREMES
    if setting == "exact":
        return st.sampled_from(["same", "other"])
    return st.lists(st.sampled_from(TEXTS[setting]), max_size=3, unique=True) | EXTREMES


BOUNDED = sorted(PROBES)
asked = st.fixed_dictionaries(
    {}, optional={**{name: some(name) for name in BOUNDED}, "own": st.sampled_from(["mine", "yours", "nothing"])}
)
policies = st.none() | st.fixed_dictionaries(
    {},
    optional={TYPE.name: st.fixed_dictionaries({}, optional={name: some(name) for name in BOUNDED}), "*": st.just({})},
)


@dataclass(frozen=True)
class Life:
    """An actor as a host has it: what it was granted, its manifest, and every set of grants that bounds it."""

    granted: Granted
    manifest: Mapping[str, Any]
    ceilings: tuple[Grants, ...]


STEPS = ("child", "restart", "recover", "update")


def step(life: Life, what: str, host: Grants, wanted: Mapping[str, Any], parent: Life | None) -> Life:
    """What follows; raises `SpawnRefused` where the host refuses it."""
    if what == "child":
        found = grant([TYPE], {TYPE.name: wanted}, host, life.granted.grants)
        return Life(found, wanted, (host, *life.ceilings, life.granted.grants))
    if what == "restart":
        above = ALL if parent is None else parent.granted.grants
        found = grant([TYPE], {TYPE.name: life.manifest}, host, above)
        return Life(found, life.manifest, (host, above))
    recorded = Grants.from_plain(unpack(life.granted.grants.canonical()))
    manifest = wanted if what == "update" else life.manifest
    found = grant([TYPE], {TYPE.name: manifest}, host, recorded, recorded=True)
    return Life(found, manifest, (host, *life.ceilings, life.granted.grants))


def check(life: Life) -> None:
    """Nothing is allowed that a ceiling or the manifest refuses, and the instance gets nothing beyond the grant."""
    found = life.granted.grants.of(TYPE.name)
    assert found is not None
    mine = Everything.Settings.model_validate(life.manifest).model_dump(mode="json")
    got = life.granted.plain(TYPE.name)
    assert got["own"] == mine["own"]
    for setting in BOUNDED:
        kind = KINDS[setting]
        bound = found.bound(setting)
        given = bound if kind is None else kind.read(got[setting])
        assert given == bound or bound in (NOTHING, UNLIMITED) or given.meet(bound) == given
        for probe in PROBES[setting]:
            if not bound.allows(probe):
                assert kind is None or not given.allows(probe) or probe is False
                continue
            for ceiling in life.ceilings:
                above = ceiling.of(TYPE.name)
                assert above is not None
                assert above.allows(setting, probe)
            if kind is not None:
                assert kind.read(mine[setting]).allows(probe)
            else:
                assert mine[setting] == probe


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(
    policies,
    asked,
    st.lists(st.tuples(st.sampled_from(STEPS), policies, asked), max_size=6),
)
def test_nothing_that_happens_to_an_actor_or_its_children_widens_a_grant(
    policy: Any, wanted: Any, steps: list[tuple[str, Any, Any]]
) -> None:
    host = read_policy(policy, CAPABILITIES)
    try:
        life = Life(grant([TYPE], {TYPE.name: wanted}, host, ALL), wanted, (host,))
    except SpawnRefused:
        return
    check(life)
    parent: Life | None = None
    for what, new_policy, new_asked in steps:
        new_host = read_policy(new_policy, CAPABILITIES)
        try:
            after = step(life, what, new_host, new_asked, parent)
        except SpawnRefused:
            continue
        check(after)
        if what == "child":
            parent = life
        life = after


def test_a_life_that_is_refused_nothing_keeps_its_grants() -> None:
    """So that the property above is not true for want of lives: one with all kinds of steps keeps what it had."""
    wanted: dict[str, Any] = {"number": 3, "hosts": ["x.a.com"], "flag": True, "own": "yours"}
    life = Life(grant([TYPE], {TYPE.name: wanted}, ALL, ALL), wanted, (ALL,))
    before = life.granted.plain(TYPE.name)
    for what in STEPS:
        parent, life = life, step(life, what, ALL, wanted, life)
        check(life)
        assert life.granted.plain(TYPE.name) == before
        assert parent.granted.grants == life.granted.grants


def test_a_check_that_finds_nothing_wrong_would_find_a_wider_grant() -> None:
    narrow = grant([TYPE], {TYPE.name: {"number": 1}}, ALL, ALL)
    wide = grant([TYPE], {TYPE.name: {"number": 3}}, ALL, ALL)
    life = Life(wide, {"number": 3}, (narrow.grants,))
    with pytest.raises(AssertionError):
        check(life)
    check(replace(life, ceilings=(ALL,)))


def test_a_policy_cannot_bound_a_choice() -> None:
    with pytest.raises(ConfigurationError, match=r"grants\.everything\.own: it is each actor's own choice"):
        read_policy({"everything": {"own": "mine"}}, CAPABILITIES)
    parent = grant([TYPE], {TYPE.name: {"own": "mine"}}, ALL, ALL)
    child = grant([TYPE], {TYPE.name: {"own": "yours"}}, ALL, parent.grants)
    assert child.plain(TYPE.name)["own"] == "yours"
