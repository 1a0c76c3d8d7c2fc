"""Grants arithmetic: an intersection never allows what one of the sides refuses, and says who cut what."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.grants import (
    ALL,
    ENDPOINTS,
    EXACT,
    FLAG,
    HOSTS,
    NOTHING,
    NUMBER,
    OWN,
    PATHS,
    SECRETS,
    STRINGS,
    SUBJECTS,
    UNLIMITED,
    Bound,
    Exactly,
    Flag,
    Grant,
    Grants,
    Kind,
    Number,
    Patterns,
    intersect,
)
from theater_bus.core.grants.bound import bound_from_plain
from theater_bus.core.grants.pattern import (
    ENDPOINT_PATTERNS,
    EXACT_TEXTS,
    HOST_NAMES,
    PATH_PREFIXES,
    SECRET_PLACES,
    SUBJECT_PATTERNS,
    Language,
)
from theater_bus.errors import SpawnRefused

PATH_TEXTS = ["/", "/a", "/a/b", "/a/bc", "/ab", ".", "a", "a/b"]
HOST_TEXTS = ["a.com", "*.a.com", "x.a.com", "*.x.a.com", "*.com", "10.0.0.1", "::1", "y.x.a.com"]
SECRET_TEXTS = ["key", "key@a.com", "key@*.a.com", "key@x.a.com", "other@*.a.com", "other@y.x.a.com", "key@::1"]
SUBJECT_TEXTS = ["a", "a.b", "a.*", "*.b", "a.>", ">", "*.*", "a.b.c", "*.b.>", "b.*.c"]
ENDPOINT_TEXTS = [
    *["*:443", "*:*", "a.com:443", "x.a.com:1-500", "*.a.com:400-500", "*.a.com:*", "*.x.a.com:443"],
    *["10.0.0.0/8:*", "10.1.0.0/16:1-500", "10.1.2.3:443", "[::1]:443", "[fd00::/8]:*", "[::ffff:10.1.2.3]:80-443"],
]
TEXTS = {
    EXACT_TEXTS: ["GET", "PUT", "a", "/a"],
    PATH_PREFIXES: PATH_TEXTS,
    HOST_NAMES: HOST_TEXTS,
    SECRET_PLACES: SECRET_TEXTS,
    SUBJECT_PATTERNS: SUBJECT_TEXTS,
    ENDPOINT_PATTERNS: ENDPOINT_TEXTS,
}
PROBES: list[Any] = [
    *[text for texts in TEXTS.values() for text in texts],
    *[-1, 0, 3, 3.5, 4, True, False, None, "a..b", [], {"x": 1}, "/a/../b", 1e300],
]


def patterns(language: Language) -> st.SearchStrategy[Bound]:
    return st.lists(st.sampled_from(TEXTS[language]), max_size=4).map(lambda texts: Patterns.of(language, texts))


bounds = st.one_of(
    st.sampled_from([UNLIMITED, NOTHING, Flag(True), Flag(False), Exactly.of("GET"), Exactly.of(None), Exactly.of(3)]),
    st.sampled_from([-1, 0, 3, 3.5, 4.0]).map(Number),
    *[patterns(language) for language in TEXTS],
)
same_kind = st.sampled_from(list(TEXTS)).flatmap(lambda language: st.tuples(*[patterns(language)] * 3))
three = st.one_of(same_kind, st.tuples(bounds, bounds, bounds))
grants = st.builds(
    Grants,
    st.dictionaries(
        st.sampled_from(["tcp", "http", "store"]),
        st.one_of(st.none(), st.builds(Grant, st.dictionaries(st.sampled_from("xyz"), bounds, max_size=3), bounds)),
        max_size=3,
    ),
    st.one_of(st.none(), st.builds(Grant, st.dictionaries(st.sampled_from("xyz"), bounds, max_size=2), bounds)),
)


@settings(max_examples=100, deadline=None)
@given(three)
def test_an_intersection_never_widens_and_keeps_what_all_allow(sides: tuple[Bound, Bound, Bound]) -> None:
    one, two, three_ = sides
    met = one.meet(two).meet(three_)
    alike = len({side.language if isinstance(side, Patterns) else type(side) for side in sides}) == 1
    for probe in PROBES:
        allowed = all(side.allows(probe) for side in sides)
        if met.allows(probe):
            assert allowed, probe
        elif alike:
            assert not allowed, probe


@settings(max_examples=100, deadline=None)
@given(three)
def test_bounds_form_a_semilattice(sides: tuple[Bound, Bound, Bound]) -> None:
    one, two, three_ = sides
    assert one.meet(two) == two.meet(one)
    assert one.meet(two).meet(three_) == one.meet(two.meet(three_))
    assert one.meet(one) == one
    assert one.meet(UNLIMITED) == one == UNLIMITED.meet(one)
    assert one.meet(NOTHING) == NOTHING == NOTHING.meet(one)


@settings(max_examples=100, deadline=None)
@given(bounds)
def test_a_bound_reads_back_from_its_plain_form(bound: Bound) -> None:
    assert bound_from_plain(msgpack.unpackb(msgpack.packb(bound.to_plain()))) == bound


@settings(max_examples=60, deadline=None)
@given(grants, grants, grants)
def test_effective_grants_allow_nothing_that_a_side_refuses(host: Grants, parent: Grants, manifest: Grants) -> None:
    found = intersect(host, parent, manifest).grants
    for capability in ("tcp", "http", "store", "unnamed"):
        sides = [side.of(capability) for side in (host, parent, manifest)]
        effective = found.of(capability)
        assert (effective is None) == any(side is None for side in sides)
        for setting in ("x", "y", "z", "w"):
            for probe in PROBES:
                if effective is not None and effective.allows(setting, probe):
                    assert all(side is not None and side.allows(setting, probe) for side in sides)


@settings(max_examples=60, deadline=None)
@given(grants, grants, grants)
def test_grants_form_a_semilattice_with_all_on_top(one: Grants, two: Grants, three_: Grants) -> None:
    assert one.meet(two) == two.meet(one)
    assert one.meet(two).meet(three_) == one.meet(two.meet(three_))
    assert one.meet(one) == one == one.meet(ALL)
    assert one.meet(Grants()) == Grants()


@settings(max_examples=60, deadline=None)
@given(grants)
def test_grants_read_back_and_equal_grants_have_equal_digests(one: Grants) -> None:
    again = Grants.from_plain(msgpack.unpackb(one.canonical()))
    assert again == one
    assert again.digest == one.digest


@settings(max_examples=60, deadline=None)
@given(grants, grants, grants)
def test_an_explanation_names_exactly_the_sides_that_cut(host: Grants, parent: Grants, manifest: Grants) -> None:
    effective = intersect(host, parent, manifest)
    for explanation in effective.cuts():
        assert explanation.cut_by
        assert explanation.text().startswith(f"{explanation.capability}.{explanation.setting}: ")
        assert explanation.to_plain()["cut_by"] == list(explanation.cut_by)
        assert explanation.effective == explanation.asked.meet(explanation.host).meet(explanation.parent)
        assert ("host" in explanation.cut_by) == (explanation.asked.meet(explanation.host) != explanation.asked)


@pytest.mark.parametrize(
    ("bound", "allowed", "refused"),
    [
        (UNLIMITED, [1, "a", None], []),
        (NOTHING, [], [0, False, "", None]),
        (Number(3), [3, -1, 2.5], [4, "3", True, None]),
        (Flag(True), [True, False], [1, None]),
        (Flag(False), [False], [True, 0]),
        (Exactly.of(1), [1], [1.0, True, "1", 10**30]),
        (Patterns.of(PATH_PREFIXES, ["/a"]), ["/a", "/a/b"], ["/ab", "a", "/a/../b", 1]),
        (Patterns.of(SECRET_PLACES, ["k@*.a.com", "n"]), ["k@x.a.com", "n"], ["k", "k@a.com", "j@x.a.com", "n@x"]),
        (Patterns.of(SUBJECT_PATTERNS, ["a.*"]), ["a.b", "a.*"], ["a", "a.b.c", "a.>", ">"]),
    ],
)
def test_a_bound_allows_what_it_says(bound: Bound, allowed: list[Any], refused: list[Any]) -> None:
    assert [value for value in [*allowed, *refused] if bound.allows(value)] == allowed
    assert bound_from_plain(bound.to_plain()) == bound
    assert bound.meet(bound) == bound
    assert bound.meet(UNLIMITED) == bound
    if bound is not UNLIMITED:
        assert bound.meet(Exactly.of("other")) is NOTHING


def test_unlimited_and_nothing_are_different_and_an_empty_list_is_nothing() -> None:
    assert HOSTS.read("unlimited") is UNLIMITED
    assert HOSTS.read("nothing") is NOTHING is HOSTS.read([])
    assert HOSTS.intersect("unlimited", ["a.com"]) == ["a.com"]
    assert HOSTS.intersect([], "unlimited") == []


@pytest.mark.parametrize(
    ("kind", "one", "other", "both"),
    [
        (NUMBER, 5, 7.5, 5),
        (NUMBER, 5.0, "unlimited", 5),
        (NUMBER, 5, "nothing", "nothing"),
        (NUMBER, "unlimited", "unlimited", "unlimited"),
        (FLAG, True, True, True),
        (FLAG, True, False, False),
        (FLAG, "nothing", True, False),
        (STRINGS, ["GET", "PUT"], ["PUT", "POST"], ["PUT"]),
        (PATHS, ["/srv//data/."], ["/srv", "/srv/data/a"], ["/srv/data"]),
        (PATHS, ["/tmp/a"], ["/tmp/ab"], []),
        (PATHS, ["."], ["a/b", "/a"], ["a/b"]),
        (HOSTS, ["*.Ab.com."], ["x.ab.com", "ab.com", "*.y.ab.com"], ["*.y.ab.com", "x.ab.com"]),
        (HOSTS, ["[::1]", "0:0::1"], ["::1"], ["::1"]),
        (SECRETS, ["k@*.A.com", "n"], ["k@x.a.com.", "n", "j@x.a.com"], ["k@x.a.com", "n"]),
        (SUBJECTS, ["orders.*.eu"], ["orders.new.>"], ["orders.new.eu"]),
        (SUBJECTS, ["a.>"], ["a"], []),
        (SUBJECTS, ["a.>", "a.b"], ["unlimited"], []),
        (ENDPOINTS, ["*.A.com.:443"], ["x.a.com:*", "a.com:443"], ["x.a.com:443"]),
        (ENDPOINTS, ["*:1-1000"], ["*.a.com:443-2000", "10.0.0.1:443"], ["*.a.com:443-1000"]),
        (ENDPOINTS, ["10.0.0.0/8:*"], ["10.1.0.0/16:80", "[::/0]:*"], ["10.1.0.0/16:80"]),
        (ENDPOINTS, ["[::ffff:10.0.0.1]:80"], ["10.0.0.0/8:80"], ["10.0.0.1:80"]),
        (ENDPOINTS, ["[FD00::/8]:80"], ["[fd00:0::1]:80"], ["[fd00::1]:80"]),
        (ENDPOINTS, ["*:80"], ["0.0.0.0/0:80"], []),
        (ENDPOINTS, ["a.com:80-90"], ["a.com:91"], []),
        (EXACT, {"tls": True}, {"tls": True}, {"tls": True}),
        (EXACT, 1, True, "nothing"),
    ],
)  # fmt: skip
def test_kinds_intersect_the_values_of_settings(kind: Kind, one: Any, other: Any, both: Any) -> None:
    assert kind.intersect(one, other) == both == kind.intersect(other, one)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (NUMBER, None, "must be a number"),
        (NUMBER, True, "must be a number"),
        (NUMBER, float("nan"), "not finite"),
        (NUMBER, 1 << 64, "64 bits"),
        pytest.param(NUMBER, 10**5000, "64 bits", id="huge"),
        (FLAG, 1, "true or false"),
        (STRINGS, None, "must be a list"),
        (STRINGS, ["a", 1], "texts only"),
        (STRINGS, [str(at) for at in range(5000)], "5,000 patterns, more than 4,096"),
        (PATHS, ["/a/../b"], "'/a/../b' holds `..`"),
        (PATHS, ["~/x"], "begins with `~`"),
        (PATHS, [""], "is empty"),
        (HOSTS, ["http://a.com"], "is no host"),
        (HOSTS, ["a.com:80"], "is no host"),
        (HOSTS, ["*"], "is no host"),
        (HOSTS, ["a.*.com"], "is no host"),
        (HOSTS, ["*.10.0.0.1"], "ends in a number"),
        (HOSTS, ["127.1"], "ends in a number"),
        (HOSTS, ["0x7f000001"], "ends in a number"),
        (SECRETS, ["@a.com"], "names no secret"),
        (SECRETS, ["k@"], "is no host"),
        (SECRETS, ["k@*"], "is no host"),
        (SUBJECTS, ["a..b"], "is no subject"),
        (SUBJECTS, ["a.>.b"], "is no subject"),
        (SUBJECTS, ["a.b*"], "is no subject"),
        (SUBJECTS, [f"s{at}" for at in range(65)], "more than 64"),
        (ENDPOINTS, ["a.com"], "has no port"),
        (ENDPOINTS, ["a.com:http"], "ends in no port"),
        (ENDPOINTS, ["a.com:65536"], "ends in no port"),
        (ENDPOINTS, ["a.com:9-8"], "ends in no port"),
        (ENDPOINTS, ["a.com:"], "ends in no port"),
        (ENDPOINTS, ["http://a.com:80"], "is no host"),
        (ENDPOINTS, ["fd00::1:80"], "is no host"),
        (ENDPOINTS, ["127.1:80"], "is no address"),
        (ENDPOINTS, ["10.0.0.1/8:80"], "is no address and no network"),
        (ENDPOINTS, ["0x7f000001:80"], "ends in a number"),
        (ENDPOINTS, [f"a{at}.com:80" for at in range(65)], "more than 64"),
        (EXACT, object(), "no plain value"),
    ],
)
def test_what_is_no_bound_is_refused_in_words(kind: Kind, value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("*", r"\*")):
        kind.read(value)


def test_subjects_that_no_short_list_can_say_are_refused() -> None:
    rows = SUBJECTS.read([f"*.r{at}.>" for at in range(40)])
    columns = SUBJECTS.read([f"c{at}.>" for at in range(40)])
    with pytest.raises(SpawnRefused, match="1,600 patterns"):
        rows.meet(columns)


def test_endpoints_that_no_short_list_can_say_are_refused() -> None:
    hosts = ENDPOINTS.read([f"a{at}.com:*" for at in range(40)])
    ports = ENDPOINTS.read([f"*:{at}" for at in range(40)])
    with pytest.raises(SpawnRefused, match="1,600 patterns"):
        hosts.meet(ports)


@pytest.mark.parametrize(
    "plain", ["all", 3, {"number": True}, {"flag": 1}, {"a": 1, "b": 2}, {"hosts": "a"}, {"hosts": [1]}]
)
def test_a_recorded_bound_that_is_not_understood_is_refused(plain: Any) -> None:
    with pytest.raises(ValueError):
        bound_from_plain(plain)


@pytest.mark.parametrize("plain", [None, {"capabilities": {}}, {"capabilities": {"a": 3}, "others": None}])
def test_recorded_grants_that_are_not_understood_are_refused(plain: Any) -> None:
    with pytest.raises(SpawnRefused, match="recorded grants"):
        Grants.from_plain(plain)


KINDS: dict[str, Kind | None] = {"hosts": HOSTS, "timeout_ms": NUMBER, "mode": None}


def asked(**values: Any) -> Grants:
    return Grants({"http-client": Grant.read(values, KINDS)})


def test_settings_become_bounds_and_bounds_settings_again() -> None:
    grant = Grant.read({"hosts": ["a.com"], "timeout_ms": 5000, "mode": "strict"}, KINDS)
    assert grant.settings(KINDS) == {"hosts": ["a.com"], "timeout_ms": 5000, "mode": "strict"}
    assert Grant({}, UNLIMITED).settings({"hosts": HOSTS}) == {"hosts": "unlimited"}


def test_a_setting_that_is_no_bound_is_named() -> None:
    with pytest.raises(ValueError, match=r"^timeout_ms must be a number"):
        Grant.read({"timeout_ms": "soon"}, KINDS)
    with pytest.raises(ValueError, match=r"^host is no setting of the capability. Fix: use one of hosts, mode"):
        Grant.read({"host": []}, KINDS)


def test_a_choice_of_ones_own_is_no_bound() -> None:
    kinds: dict[str, Kind | None] = {"strategy": OWN}
    for value in ("one", "unlimited", "nothing", None, 7):
        assert Grant.read({"strategy": value}, kinds).bound("strategy") is UNLIMITED
    assert OWN.write(UNLIMITED) == "unlimited"


def test_every_side_of_an_explanation_is_plain() -> None:
    host = Grants({"http-client": Grant({"timeout_ms": Number(1000)}, UNLIMITED)})
    effective = intersect(host, ALL, asked(hosts=["a.com"], timeout_ms=5000), "record")
    assert [one.to_plain() for one in effective.explain_all()] == [
        {
            "capability": "http-client",
            "setting": "hosts",
            "effective": ["a.com"],
            "asked": ["a.com"],
            "host": "unlimited",
            "parent": "unlimited",
            "cut_by": [],
        },
        {
            "capability": "http-client",
            "setting": "timeout_ms",
            "effective": 1000,
            "asked": 5000,
            "host": 1000,
            "parent": "unlimited",
            "cut_by": ["host"],
        },
    ]


def test_an_explanation_tells_who_cut_what() -> None:
    host = Grants({"http-client": Grant({"timeout_ms": Number(1000)}, UNLIMITED)})
    parent = Grants({"http-client": Grant({"hosts": HOSTS.read(["*.a.com"])}, UNLIMITED)})
    effective = intersect(host, parent, asked(hosts=["x.a.com", "b.com"], timeout_ms=5000, mode="m"))
    effective.require()
    assert [one.text() for one in effective.cuts()] == [
        "http-client.hosts: x.a.com; the manifest asks for b.com, x.a.com, the parent allows *.a.com",
        "http-client.timeout_ms: 1000; the manifest asks for 5000, the host allows 1000",
    ]
    assert effective.explain("http-client", "mode").text() == "http-client.mode: m, as the manifest asks"


def test_a_capability_that_a_side_refuses_stops_the_spawn_and_says_where_to_add_it() -> None:
    effective = intersect(Grants(), ALL, asked(hosts=[], timeout_ms=1))
    line = r"not granted by the host\. Fix: add \[grants\.http-client\] to the host's grants"
    with pytest.raises(SpawnRefused, match=line) as caught:
        effective.require()
    assert len(caught.value.details["problems"]) == 1
    wanted = asked(hosts=[], timeout_ms=1)
    with pytest.raises(SpawnRefused, match=r"by the parent\. Fix: add \[capabilities\.http-client\] to the parent's"):
        intersect(ALL, Grants(), wanted).require()
    with pytest.raises(
        SpawnRefused, match=r"by the record\. Fix: spawn the actor anew with \[capabilities\.http-client\]"
    ):
        intersect(ALL, Grants(), wanted, "record").require()


def test_a_number_or_exact_setting_that_came_to_nothing_stops_the_spawn() -> None:
    host = Grants({"http-client": Grant({"mode": Exactly.of("lax")}, UNLIMITED)})
    with pytest.raises(SpawnRefused, match=r"http-client\.mode: nothing.*the host allows lax\. Fix"):
        intersect(host, ALL, asked(mode="strict", hosts=["a.com"])).require()


def test_a_side_can_refuse_one_capability_and_allow_all_others() -> None:
    policy = Grants({"tcp": None}, Grant({}, UNLIMITED))
    effective = intersect(policy, ALL, asked(hosts=["a.com"]).meet(ALL))
    assert effective.grants.of("tcp") is None
    assert effective.grants == asked(hosts=["a.com"])


def test_a_manifest_may_say_that_it_wants_a_capability_refused() -> None:
    effective = intersect(ALL, ALL, Grants({"tcp": None}, Grant({}, UNLIMITED)))
    effective.require()
    assert list(effective.cuts()) == []
