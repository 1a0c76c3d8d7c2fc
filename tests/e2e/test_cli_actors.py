"""Spawn, call, look and steer with the installed command, against a served host."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from .conftest import PROGRAM, Served, environment


def test_a_life_from_spawn_to_stop(host: Served, guests: Path) -> None:
    spawned = host("spawn", str(guests / "counter.toml"), "--id", "life", "--state", "7", "-o", "json")
    assert spawned.json == {"id": "life", "name": "counter", "host": host.ready["host"], "phase": "running"}
    assert host("call", "life", "increment", "5").out == "12\n"
    assert host.quick("call", "life", "increment", "--named", '{"by": 1}', "-o", "json").json == 13
    assert host("send", "life", "increment", "1").code == 0
    assert host("state", "life").out == "14\n"
    assert host("pause", "life").out == "paused\n"
    again = host.quick("pause", "life")
    assert (again.code, "theater-bus resume life" in again.err) == (7, True)
    waiting = host.quick("call", "life", "get", "--timeout", "0.3", "-o", "json")
    assert (waiting.code, waiting.error["code"]) == (5, "operation-timeout")
    assert host("resume", "life", "-o", "json").json == {"id": "life", "phase": "running"}
    assert host("stop", "life").out == "stopped\n"
    gone = host.quick("call", "life", "get", "-o", "json")
    assert (gone.code, gone.error["code"]) == (3, "actor-not-found")


def test_terminate_stops_at_once(host: Served, guests: Path) -> None:
    host.quick("spawn", str(guests / "counter.toml"), "--id", "short")
    assert host("terminate", "short", "-o", "json").json["phase"] == "stopped"


def test_the_same_key_runs_once(host: Served, guests: Path) -> None:
    host.quick("spawn", str(guests / "counter.toml"), "--id", "keyed")
    assert [host.quick("call", "keyed", "increment", "5", "--key", "k").out for _ in range(2)] == ["5\n", "5\n"]
    reused = host.quick("call", "keyed", "increment", "6", "--key", "k", "-o", "json")
    assert (reused.code, reused.error["code"]) == (4, "key-reused")


def test_cancel_ends_a_running_operation_and_its_caller_is_told(host: Served, guests: Path) -> None:
    host.quick("spawn", str(guests / "chaos.toml"), "--id", "busy")
    words = [str(PROGRAM), "call", "busy", "spin", "--key", "k1", "-o", "json", "-s", host.url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as call:
        while host.quick("status", "busy", "-o", "json").json["running"] is None:
            assert call.poll() is None
        assert host("cancel", "busy", "k1").out == "cancelled, it was running\n"
        _, err = call.communicate(timeout=10)
    assert (call.returncode, json.loads(err)["error"]["code"]) == (1, "cancelled")
    assert host.quick("cancel", "busy", "k1").code == 3


def test_a_trap_is_an_error_and_the_actor_goes_on(host: Served, guests: Path) -> None:
    host.quick("spawn", str(guests / "chaos.toml"), "--id", "trapped")
    done = host.quick("call", "trapped", "trap", '"unreachable"', "-o", "json")
    assert (done.code, done.error["code"], done.error["details"]["reason"]) == (1, "guest-trap", "unreachable")
    assert host.quick("call", "trapped", "count").out == "0\n"


def test_ps_lists_actors_and_hosts(host: Served, counter: str) -> None:
    assert host("ps").out.splitlines()[0].split() == ["ID", "NAME", "PHASE", "HOST"]
    listed = host.quick("ps", "-o", "json").json
    assert {"id": counter, "name": "counter", "phase": "running", "host": host.ready["host"]} in listed["actors"]
    assert host.ready["host"] in host.quick("ps", "--hosts").out
    assert "no host answers in namespace 'empty'" in host.quick("ps", "-n", "empty").out


def test_status_and_metrics_are_text_and_json(host: Served, counter: str) -> None:
    assert "increment(by: u64) -> result<tuple<u64, u64>, string>" in host("status", counter).out
    assert host.quick("status", counter, "-o", "json").json["phase"] == "running"
    assert "operations" in host("metrics", counter).out
    assert host.quick("metrics", counter, "-o", "json").json["operation_metrics"]["failed_operations"] >= 0


def test_the_chain_is_printed_paged_and_verified(host: Served, guests: Path) -> None:
    host.quick("spawn", str(guests / "counter.toml"), "--id", "chained")
    host.quick("call", "chained", "increment", "5")
    lines = host("chain", "chained").out.splitlines()
    assert [line.split()[2] for line in lines] == ["genesis", "call", "result", "call", "result"]
    assert "increment(5)" in lines[3]
    events = host.quick("chain", "chained", "--from", "3", "-o", "json").lines
    assert [(event["seq"], event["type"]) for event in events] == [(3, "call"), (4, "result")]
    assert events[0]["params"] == [5]
    assert host("chain", "chained", "--verify").out.startswith("intact: 5 events of actor 'chained'")
    assert host.quick("chain", "chained", "--verify", "-o", "json").json["verdict"] == "intact"


def test_the_chain_is_followed_until_the_actor_ends(host: Served, guests: Path) -> None:
    host.quick("spawn", str(guests / "counter.toml"), "--id", "followed")
    words = [str(PROGRAM), "chain", "followed", "-f", "-o", "json", "-s", host.url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment()) as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["type"] == "genesis"
        host.quick("call", "followed", "increment", "1")
        host.quick("stop", "followed")
        rest, _ = follower.communicate(timeout=20)
    assert [json.loads(line)["type"] for line in rest.splitlines()][-3:] == ["call", "result", "exit"]
    assert follower.returncode == 0


def test_whoever_stops_reading_does_not_cause_an_error(host: Served, counter: str) -> None:
    line = f"'{PROGRAM}' chain {counter} -s {host.url} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "genesis" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "kind", "told"),
    [
        (("call", "shared", "incremnt", "5"), 3, "function-not-found", "increment"),
        (("call", "shared", "countr"), 3, "function-not-found", "'countr'. It has decrement, get, increment"),
        (("call", "shraed", "get"), 3, "actor-not-found", ". Did you mean shared?"),
        (("status", "sharde"), 3, "actor-not-found", ". Did you mean shared?"),
        (("call", "shared", "increment", '"x"'), 2, "type-mismatch", "params.by must be u64"),
        (("call", "shared", "increment", "-5"), 2, "type-mismatch", "params.by"),
        (("call", "shared", "increment"), 2, "type-mismatch", ""),
        (("call", "shared", "decrement", "99999"), 1, "guest-error", "below zero"),
        (("call", "shared", "theater:simple/actor.init"), 3, "function-not-found", ""),
        (("call", "no.name", "get"), 2, "configuration", "no.name"),
        (("state", "nobody"), 3, "actor-not-found", "namespace 'default'"),
        (("chain", "nobody", "--verify"), 3, "actor-not-found", ""),
        (("chain", "./nowhere.chain", "--verify"), 3, "file", "there is no such file"),
        (("ps", "--host", "nohost"), 7, "channel-closed", "nohost"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_goes_wrong_has_its_code_and_its_reason(
    host: Served, counter: str, words: tuple[str, ...], code: int, kind: str, told: str
) -> None:
    done = host.quick(*words, "-o", "json")
    assert (done.code, done.error["code"], done.out) == (code, kind, "")
    assert told in done.error["why"]
    assert done.error["fix"]


def test_variables_of_a_manifest_are_given_on_the_command_line(host: Served, guests: Path) -> None:
    (guests / "variable.toml").write_text(
        'name = "n-${var.NAME}"\npackage = "counter.wasm"\ninitial_state = "${var.STATE:-2}"\n', "utf-8"
    )
    manifest = str(guests / "variable.toml")
    spawned = host("spawn", manifest, "--id", "varied", "--set", "NAME=007", "--set", "STATE=40", "-o", "json")
    assert spawned.json["name"] == "n-007"
    assert host.quick("call", "varied", "increment", "2").out == "42\n"
    for words, why in (
        ([], "name needs the variable NAME"),
        (["--set", "NAME=a", "--set", "NAME=b"], "--set gives NAME twice"),
        (["--set", "NAME"], "gives no value"),
        (["--set", "=a"], "gives no value"),
        (["--set", "NAME=a", "--set", "OTHER=1"], "var.OTHER is given"),
    ):
        refused = host.quick("spawn", manifest, *words)
        assert refused.code != 0
        assert why in refused.err


def test_what_cannot_be_spawned_is_refused_with_the_reason(host: Served, guests: Path, counter: str) -> None:
    typo = host("spawn", str(guests / "typo.toml"))
    assert (typo.code, "did you mean `initial_state`?" in typo.err, "typo.toml:" in typo.err) == (4, True, True)
    other = host.quick("spawn", str(guests / "other.toml"))
    assert (other.code, "WebAssembly" in other.err) == (4, True)
    missing = host.quick("spawn", str(guests / "nowhere.toml"))
    assert (missing.code, "nowhere.toml" in missing.err) == (3, True)
    lost = host.quick("spawn", str(guests / "counter.toml"), "--package", str(guests / "lost.wasm"))
    assert (lost.code, "lost.wasm" in lost.err) == (3, True)
    twice = host.quick("spawn", str(guests / "counter.toml"), "--id", counter, "-o", "json")
    assert (twice.code, twice.error["code"]) == (4, "actor-exists")
    assert all("Traceback" not in done.err for done in (typo, other, missing, lost, twice))


def test_metrics_are_served_for_prometheus(host: Served, counter: str) -> None:
    with urlopen(host.ready["metrics"], timeout=5) as answer:
        assert b"theater_actors" in answer.read()


def test_doctor_examines_a_server(host: Served, counter: str) -> None:
    done = host("doctor", "-o", "json")
    verdicts = {finding["name"]: finding["verdict"] for finding in done.json["findings"]}
    assert done.code == 0
    assert {verdicts[name] for name in ("connection", "jetstream", "hosts", "clock", "wasmtime")} == {"ok"}
    assert verdicts["caller names"] == "warn", "without permissions everybody may call under any name"
