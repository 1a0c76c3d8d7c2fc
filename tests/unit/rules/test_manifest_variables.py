"""Variables of a manifest: where values go, which kind they take, what is refused, and that nothing else happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theater_bus.core.manifest import Given, Manifest, Variables, parse_manifest, resolve_manifest
from theater_bus.core.manifest.variables import looks_secret
from theater_bus.errors import SpawnRefused


def read(text: str, environment: dict[str, str] | None = None, **values: Any) -> Manifest:
    return resolve_manifest(text, "m.toml", Variables(values, environment or {}))[0]


def problems(text: str, environment: dict[str, str] | None = None, **values: Any) -> list[str]:
    with pytest.raises(SpawnRefused) as caught:
        read(text, environment, **values)
    return [
        f"{one['path']}:{one['line']} {one['problem']}. Fix: {one['fix']}" for one in caught.value.details["problems"]
    ]


def state(written: str, environment: dict[str, str] | None = None, **values: Any) -> Any:
    """What a variable is where any kind of value may stand."""
    return read(f"name = 'a'\ninitial_state = {written}", environment, **values).initial_state


def test_values_and_the_environment_and_defaults_are_put_in() -> None:
    text = """
        name = "orders-${var.REGION}"
        version = "${env.VERSION}"
        description = "${var.A:-one} ${env.B:-two} ${env.C:-three} ${var.REGION}"
        expose = ["${var.FUNCTION}"]
        [limits]
        cpu_ms = "${var.CPU:-500}"
        [capabilities.http-client]
        hosts = ["${var.HOST}", "*.${var.HOST}"]
    """
    manifest = read(text, {"VERSION": "1.10", "C": ""}, REGION=Given("eu"), FUNCTION="place", HOST=Given("a.example"))
    assert (manifest.name, manifest.version, manifest.expose) == ("orders-eu", "1.10", ("place",))
    assert manifest.description == "one two three eu"
    assert manifest.limits.cpu_ms == 500
    assert manifest.capabilities == {"http-client": {"hosts": ["a.example", "*.a.example"]}}


@pytest.mark.parametrize(
    ("typed", "is_"),
    [
        ("5", 5),
        ("-1.5", -1.5),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ('"5"', "5"),
        ("", ""),
        ("text", "text"),
        ("1.2.3", "1.2.3"),
        ("007", "007"),
        ("2020-01-01", "2020-01-01"),
        ("5\nname = 'evil'", "5\nname = 'evil'"),
        ("1\n[limits]\ncpu_ms = 1", "1\n[limits]\ncpu_ms = 1"),
        ("[" * 5000, "[" * 5000),
        ('"', '"'),
        ("${var.B}", "${var.B}"),
    ],
)
def test_what_is_typed_is_read_as_toml_where_it_stands_alone_and_kept_within_a_text(typed: str, is_: object) -> None:
    assert state('"${var.A}"', A=Given(typed)) == is_
    assert state('"<${var.A}>"', A=Given(typed)) == f"<{typed}>"
    assert state('["${env.A}"]', {"A": typed} if typed else {"A": " "}) == [is_ if typed else " "]


def test_a_setting_that_takes_a_text_gets_what_was_typed() -> None:
    manifest = read(
        'name = "${var.N}"\nid = "${env.I}"\nversion = "${var.V}"', {"I": "7"}, N=Given("5"), V=Given("1.10")
    )
    assert (manifest.name, manifest.id, manifest.version) == ("5", "7", "1.10")


def test_values_of_a_program_keep_their_kind() -> None:
    assert state('"${var.A}"', A="5") == "5"
    assert state('"${var.A}"', A=[1, {"b": 2}]) == [1, {"b": 2}]
    assert state('"${var.A} ${var.B} ${var.C} ${var.D}"', A=5, B=1.5, C=True, D="x") == "5 1.5 true x"
    assert state('"${var.A:-none given}"', A=None) == "none given"
    assert read('name = "a"\non_failure = "${var.A}"', A=Given("stop")).on_failure.action == "stop"
    assert read('name = "a"\n[on_failure]\nmax_restarts = "${var.A}"', A=Given("9")).on_failure.max_restarts == 9


def test_what_only_looks_like_a_variable_can_be_written() -> None:
    assert state('"$${var.A} $ {} $x $$$${env.B} ${var.C}"', C=1) == "${var.A} $ {} $x $$${env.B} 1"
    assert state('"$${"') == "${"


def test_keys_are_left_alone() -> None:
    assert state('{ "${var.A}" = 1 }') == {"${var.A}": 1}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("${var.A}", "needs the variable A. Fix: give it (`--set A=VALUE`), or write a default"),
        (
            "${env.A}",
            "needs A, which the environment does not have. Fix: set it, or write a default: `${env.A:-DEFAULT}`",
        ),
        ("${A}", "holds `${A}`, which is no variable. Fix: write `${var.NAME}`"),
        ("${vars.A}", "holds `${vars.A}`, which is no variable"),
        ("${var.}", "holds `${var.}`, which is no variable"),
        ("${var.1}", "holds `${var.1}`, which is no variable"),
        ("${var.A-}x${", "holds `${`, which is no variable"),
        ("${}", "holds `${}`, which is no variable"),
        ("${var.A", "holds `${var.A`, which is no variable"),
        ("${secret.A}", "holds `${secret.A}`, and no secret stands in a manifest. Fix: name it under"),
        (
            "${env.THEATER_BUS_USER}",
            "which looks like a secret, and a manifest is recorded. Fix: hand it out as a handle",
        ),
        ("${env.API_KEY:-x}", "which looks like a secret"),
        ("a ${var.LIST}", "holds `${var.LIST}`, which is no text or number. Fix: let it stand alone"),
    ],
)
def test_what_cannot_be_replaced_is_named_with_its_place(written: str, problem: str) -> None:
    environment = {"THEATER_BUS_USER": "hunter2", "API_KEY": "hunter2"}
    given_ = {"LIST": [1]} if "LIST" in written else {}
    found = problems(f'name = "a"\n\ndescription = "{written}"', environment, **given_)
    assert any(one.startswith("description:3 ") and problem in one for one in found), found
    assert "hunter2" not in "".join(found)


def test_everything_that_is_wrong_with_variables_is_named_at_once_and_before_the_rest() -> None:
    found = problems('name = "${var.N}"\nid = "${env.I}"\nunknown = 1', UNUSED=1)
    assert [one.partition(" ")[0] for one in found] == ["var.UNUSED:0", "name:1", "id:2"]
    assert "is given, and the manifest has no such variable. Fix: leave it out" in found[0]
    assert "did you mean `REGION`?" in problems('name = "${var.REGION}"', REGOIN="eu", REGION="eu")[0]


def test_what_the_values_make_is_checked_like_anything_else() -> None:
    found = problems('name = "${var.N}"\n[limits]\ncpu_ms = "${var.C}"', N="a b", C=Given("soon"))
    assert found[0].startswith("name:1 is 'a b'")
    assert found[1].startswith("limits.cpu_ms:3 must be an integer")


def test_a_text_that_variables_make_is_bounded() -> None:
    found = problems('name = "a"\ninitial_state = "' + "${var.A}" * 20 + '"', A="x" * 100_000)
    assert found == ["initial_state:2 has 2,000,000 characters with its variables. Fix: at most 1,048,576"]


def test_maps_are_resolved_like_texts_and_the_tables_can_travel() -> None:
    document = {"name": "${var.A}", "initial_state": ("${var.B}", b"${var.C}", 1)}
    manifest, tables = resolve_manifest(document, "a call", Variables({"A": "a", "B": 2}, {}))
    assert tables == {"name": "a", "initial_state": [2, b"${var.C}", 1]}
    assert manifest.initial_state == [2, b"${var.C}", 1]
    assert document["name"] == "${var.A}"


def test_a_map_that_is_too_deep_is_refused_and_not_walked_without_end() -> None:
    deep: Any = "${var.A}"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(SpawnRefused, match="deep"):
        resolve_manifest({"name": "a", "initial_state": deep}, "a call", Variables())


@pytest.mark.parametrize(
    "name", ["TOKEN", "GITHUB_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "X_KEY", "NKEY_SEED"]
)
def test_names_that_speak_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["HOME", "KEYBOARD", "MONKEY", "TOKENIZER", "REGION", "PUBLIC_URL"])
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_text_without_variables_is_what_it_was(text: str) -> None:
    document = {"name": "a", "initial_state": text.replace("${", "")}
    assert resolve_manifest(document, "m", Variables())[1] == document


def test_a_host_replaces_nothing() -> None:
    assert parse_manifest('name = "a"\ndescription = "${env.HOME}"').description == "${env.HOME}"
