"""The manifest: strict, every problem at once with its line, one digest per meaning, cut by the host."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theater_bus.core.manifest import (
    Bounds,
    ChainSettings,
    Cut,
    FailurePolicy,
    HostLimits,
    Limits,
    Manifest,
    cut,
    cuts,
    from_mapping,
    parse_manifest,
)
from theater_bus.core.setting import RULE, Whole
from theater_bus.errors import ConfigurationError, SpawnRefused

FULL = """
name = "orders"
id = "orders-eu"
version = "1.2.0"
package = "orders.wasm"
description = "Takes orders"
expose = ["place", "theater:demo/orders.cancel"]
require_caller = true
isolation = "instance"

[initial_state]
open = [1, 2]

[on_failure]
action = "restart"
max_restarts = 3
window_s = 30
backoff_ms = 250

[limits]
memory_pages = 32
cpu_ms = 100

[mailbox]
operations = 10

[chain]
durability = "memory"
publish = true
keep_events = 50

[capabilities.runtime]

[capabilities.http-client]
hosts = ["api.example.com"]
timeout_ms = 5000
"""


def refusal(text: str) -> SpawnRefused:
    with pytest.raises(SpawnRefused) as caught:
        parse_manifest(text, "orders.toml")
    return caught.value


def test_every_setting_arrives_where_it_is_used() -> None:
    manifest = parse_manifest(FULL)
    assert manifest == Manifest(
        name="orders",
        id="orders-eu",
        version="1.2.0",
        package="orders.wasm",
        description="Takes orders",
        initial_state={"open": [1, 2]},
        expose=("place", "theater:demo/orders.cancel"),
        require_caller=True,
        isolation="instance",
        on_failure=FailurePolicy("restart", 3, 30, 250),
        limits=Limits(memory_bytes=32 * 65_536, cpu_ms=100),
        mailbox=Bounds(operations=10),
        chain=ChainSettings("memory", publish=True, keep_events=50),
        capabilities={"runtime": {}, "http-client": {"hosts": ["api.example.com"], "timeout_ms": 5000}},
    )
    assert (manifest.limits.memory_pages, manifest.limits.cpu_ns) == (32, 100_000_000)
    assert (manifest.limits.timeout_s, manifest.limits.init_timeout_s) == (30.0, 60.0)


def test_the_smallest_manifest_is_a_name() -> None:
    manifest = parse_manifest('name = "a"')
    assert manifest == Manifest("a")
    assert hash(manifest) == hash(Manifest("a"))
    assert not manifest.is_durable
    assert manifest.initial_state is None


def test_on_failure_may_be_one_word() -> None:
    assert parse_manifest('name = "a"\non_failure = "pause"').on_failure.action == "pause"


def test_all_problems_are_named_at_once_each_with_its_line() -> None:
    error = refusal('nam = "a"\n\n[limits]\ncpu_ms = 0\n[chain]\ndurability = "disk"\n')
    assert str(error).splitlines() == [
        "4 problems in the manifest:",
        '  orders.toml: name is missing. Fix: add `name = "…"` at the top',
        "  orders.toml:1: nam is no setting of the manifest. Fix: did you mean `name`?",
        "  orders.toml:4: limits.cpu_ms is 0, outside 1 to 3,600,000",
        '  orders.toml:6: chain.durability is \'disk\', not one of "memory", "file". Fix: write "memory" or "file"',
    ]
    assert error.details["problems"][1] == {
        "path": "nam",
        "line": 1,
        "problem": "is no setting of the manifest",
        "fix": "did you mean `name`?",
    }


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("cpu_ms = 5", "`cpu_ms` stands under `[limits]`"),
        ("permissions = 1", "did you mean `capabilities.<name>`?"),
        ("handler = []", "did you mean `capabilities.<name>`?"),
        ("[limits]\nname = 1", "`name` stands at the top, before the first section"),
        ("[limits]\ntimeout = 1", "did you mean `limits.timeout_ms`?"),
        ("[limits]\nmemory_page = 1", "did you mean `memory_pages`?"),
        ("[mailbox]\nwhatever = 1", "use one of bytes, enqueue_bytes, enqueues, operations"),
        ("[capabilites.x]", "did you mean `capabilities`?"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_meant(line: str, fix: str) -> None:
    error = refusal(f'name = "a"\n{line}')
    assert [problem["fix"] for problem in error.details["problems"]] == [fix]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits = 3", "limits must be a table. Fix: write `[limits]`"),
        ('id = "a.b"', "id is 'a.b', not 1 to 64 letters"),
        ('package = "sha256:12"', "package is 'sha256:12', not a path, `sha256:`"),
        ("initial_state = 1979-05-27", "initial_state holds a date"),
        ("expose = [1]", "expose must hold texts only"),
        ('on_failure = "retry"', "on_failure.action is 'retry', not one of"),
        ('[on_failure]\naction = "stop"\nwindow_s = 3', 'window_s has no effect with action = "stop"'),
        ("[limits]\nmemory_bytes = 70000", "is 70,000, no multiple of 65,536. Fix: use 65536 or 131072"),
        ("[limits]\nmemory_bytes = 65536\nmemory_pages = 1", "memory_pages stands beside memory_bytes"),
        ("[limits]\nmemory_pages = 0", "memory_pages is 0, outside 1 to 65,536"),
        ('[limits]\nmemory_bytes = "1"', "memory_bytes must be an integer, not a text"),
        ('[chain]\ndurability = "file"\nkeep_bytes = 5000', 'keep_bytes has no effect with durability = "file"'),
        ('[chain]\ndurability = "sync"\npublish = true', 'publish has no effect with durability = "sync"'),
        ("[capabilities]\nruntime = true", "capabilities.runtime must be a table"),
        ("[capabilities.Runtime]", "capabilities.Runtime is 'Runtime', not 1 to 64 lower-case"),
        ("[capabilities.timer]\nat = 1979-05-27", "capabilities.timer holds a date at at"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_in_words(text: str, problem: str) -> None:
    assert problem in str(refusal(f'name = "a"\n{text}'))


def test_what_is_not_toml_is_refused_with_the_place() -> None:
    assert "line 2" in str(refusal('name = "a"\nid = x'))
    assert "not TOML" in str(refusal("a = " + "[" * 5000))
    assert "not TOML" in str(refusal("a = " + "9" * 5000))


def test_lines_are_those_of_settings_and_not_of_long_texts_that_look_like_them() -> None:
    text = 'name = "a"\ndescription = """\nlimits.cpu_ms = 0\n[chain]\n"""\nlimits . "cpu_ms" = 0\n'
    assert "orders.toml:6: limits.cpu_ms is 0" in str(refusal(text))
    nested = "name = 'a'\ndescription = '''\"\"\"\nid = 0\n'''\non_failure = { max_restarts = -1 }"
    assert "orders.toml:5: on_failure.max_restarts is -1" in str(refusal(nested))


def test_null_is_no_way_to_leave_a_setting_out() -> None:
    found: Any = {"name": "a", "id": None, "limits": {"memory_pages": None, "cpu_ms": None}, "mailbox": None}
    with pytest.raises(SpawnRefused, match="4 problems"):
        from_mapping(found)


def test_a_map_with_keys_that_are_no_texts_is_refused() -> None:
    found: Any = {"name": "a", 5: 1, "limits": {7: 1}, "capabilities": {8: {}}}
    with pytest.raises(SpawnRefused, match="3 problems") as caught:
        from_mapping(found)
    assert [problem["path"] for problem in caught.value.details["problems"]] == ["5", "limits.7", "capabilities.8"]


def test_the_digest_is_that_of_the_meaning_and_not_of_the_writing() -> None:
    turned = 'limits = { cpu_ms = 100, memory_bytes = 2097152 }\nname = "orders"\nid = "orders-eu"\n'
    written = 'id = "orders-eu"\nname = "orders"\n[limits]\nmemory_pages = 32\ncpu_ms = 100\n'
    assert parse_manifest(turned).digest == parse_manifest(written).digest
    assert parse_manifest(turned).digest != parse_manifest('name = "orders"').digest
    assert len(parse_manifest(turned).digest) == 32


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.text(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


def numbers(section: type) -> st.SearchStrategy[dict[str, Any]]:
    rules = {one.name: one.metadata[RULE] for one in fields(section)}
    whole = {name: rule for name, rule in rules.items() if isinstance(rule, Whole) and name != "memory_bytes"}
    return st.fixed_dictionaries(
        {}, optional={name: st.integers(rule.minimum, rule.maximum) for name, rule in whole.items()}
    )


token = st.text("abcXYZ019_-", min_size=1, max_size=64)
manifests = st.fixed_dictionaries(
    {"name": token},
    optional={
        "id": token,
        "version": st.just("1.0"),
        "package": st.sampled_from(["a.wasm", "sha256:" + "0f" * 32]),
        "initial_state": plain,
        "expose": st.lists(st.text(min_size=1), unique=True, max_size=3),
        "require_caller": st.booleans(),
        "isolation": st.sampled_from(["operation", "instance"]),
        "on_failure": st.one_of(st.sampled_from(["pause", "stop"]), numbers(FailurePolicy)),
        "limits": numbers(Limits),
        "mailbox": numbers(Bounds),
        "chain": st.one_of(numbers(ChainSettings), st.sampled_from([{"durability": "file"}, {"durability": "sync"}])),
        "capabilities": st.dictionaries(
            st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True), st.dictionaries(st.text(), plain, max_size=3)
        ),
    },
)


@settings(max_examples=100, deadline=None)
@given(manifests)
def test_a_manifest_reads_back_from_its_canonical_form(found: dict[str, Any]) -> None:
    manifest = from_mapping(found)
    again = from_mapping(msgpack.unpackb(manifest.canonical()))
    assert again == manifest
    assert again.canonical() == manifest.canonical()


@settings(max_examples=100, deadline=None)
@given(st.one_of(plain, st.dictionaries(st.sampled_from(["name", "limits", "chain", "capabilities", "id"]), plain)))
def test_whatever_the_map_holds_it_is_a_manifest_or_refused(found: Any) -> None:
    with suppress(SpawnRefused):
        from_mapping(found if isinstance(found, dict) else {"name": found})


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_whatever_the_text_is_it_is_a_manifest_or_refused(text: str) -> None:
    with pytest.raises(SpawnRefused):
        parse_manifest(text + "\n[a.b]")


@settings(max_examples=60, deadline=None)
@given(manifests, st.integers(65_536, 200_000))
def test_a_cut_manifest_never_exceeds_the_host(found: dict[str, Any], most: int) -> None:
    host = HostLimits(**{one.name: most for one in fields(HostLimits)})
    manifest = from_mapping(found).cut(host)
    for name in ("limits", "mailbox", "chain"):
        assert cuts(getattr(manifest, name), host, name) == []
    assert manifest.cut(host) == manifest == from_mapping(msgpack.unpackb(manifest.canonical()))
    assert from_mapping(found).cut(replace(host, **{one.name: 1 << 40 for one in fields(host)})) == from_mapping(found)


def test_a_cut_says_what_was_asked_and_what_is_allowed() -> None:
    limits = Limits(cpu_ms=90_000)
    assert cuts(limits, HostLimits(), "limits") == [Cut("limits.cpu_ms", 90_000, 60_000)]
    assert limits.cut(HostLimits()).cpu_ms == 60_000
    assert ChainSettings(keep_events=9).cut(HostLimits(chain_keep_events=5)).keep_events == 5
    assert cut(Bounds(), HostLimits(mailbox_operations=7), "mailbox").operations == 7


def test_a_host_that_no_actor_could_run_on_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"mailbox_bytes: 5 is too little\. Fix: give 1024 or more"):
        HostLimits(mailbox_bytes=5)
    assert HostLimits(memory_bytes=70_000).memory_bytes == 65_536


def test_the_defaults_are_within_the_hosts_defaults() -> None:
    assert Manifest("a").cut(HostLimits()) == Manifest("a")


def test_accessors_say_what_the_settings_mean() -> None:
    manifest = parse_manifest(FULL)
    assert manifest.exposes("place")
    assert not manifest.exposes("refund")
    assert Manifest("a").exposes("anything")
    assert manifest.package_digest is None
    assert Manifest("a").package_digest is None
    assert Manifest("a", package="sha256:" + "0f" * 32).package_digest == b"\x0f" * 32
    assert not manifest.isolates_operations()
    assert Manifest("a", isolation="operation").isolates_operations(component=True)
    assert not Manifest("a").isolates_operations()
    durable = Manifest("a", chain=ChainSettings("file"))
    assert durable.isolates_operations()
    assert not durable.isolates_operations(component=True)
    assert ChainSettings().publishes(True)
    assert not ChainSettings(publish=False).publishes(True)


@pytest.mark.parametrize(
    ("package", "reference"),
    [
        (None, None),
        ("counter.wasm", None),
        ("a/b://c", None),
        ("sha256:" + "0" * 64, None),
        ("oci://registry/counter:1", "oci://registry/counter:1"),
    ],
)
def test_a_package_with_a_scheme_is_a_reference(package: str | None, reference: str | None) -> None:
    tables = {"name": "a"} if package is None else {"name": "a", "package": package}
    assert from_mapping(tables).package_reference == reference
