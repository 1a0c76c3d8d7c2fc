"""Answers become typed results; an answer of another shape is named, not guessed at."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.client.results import (
    ActorStatus,
    Exports,
    FunctionExport,
    HostSummary,
    OperationOutcome,
    Parameter,
    digest_of,
    parsed,
)
from theater_bus.errors import GuestError, SerializationError

STATUS: dict[str, Any] = {
    "id": "c",
    "name": "counter",
    "phase": "running",
    "reason": None,
    "host": "h",
    "incarnation": bytes(16),
    "package": "ab" * 32,
    "durability": "file",
    "running": {"function": "get", "since_ms": 5, "op": None, "path": ["a"]},
    "queued": 1,
    "as_of": {"sequence": -1, "head": bytes(32)},
}


def test_a_status_is_read_and_what_a_newer_host_adds_is_left_out() -> None:
    status = parsed(ActorStatus.from_wire, STATUS | {"weather": "fine"}, "status")
    assert status.running is not None
    assert status.running.path == ("a",)
    assert status.package == bytes.fromhex("ab" * 32)
    assert parsed(ActorStatus.from_wire, STATUS | {"running": None}, "status").running is None


@pytest.mark.parametrize("answer", [None, [], "text", {}, {**STATUS, "running": 5}, {**STATUS, "as_of": None}])
def test_an_answer_of_another_shape_is_a_serialization_error_that_names_the_query(answer: Any) -> None:
    with pytest.raises(SerializationError, match=r"info\.status is not what it should be") as caught:
        parsed(ActorStatus.from_wire, answer, "info.status")
    assert caught.value.ran == "unknown"


def test_digests_are_read_in_every_spelling() -> None:
    raw = bytes(range(32))
    assert digest_of(raw) == digest_of(raw.hex()) == digest_of(f"sha256:{raw.hex()}") == raw


def test_an_outcome_holds_the_value_or_the_error_as_its_class() -> None:
    committed = OperationOutcome.from_wire({"outcome": "committed", "answer": {"value": [1]}})
    assert (committed.outcome, committed.value, committed.error) == ("committed", [1], None)
    refused = OperationOutcome.from_wire(
        {"outcome": "committed", "answer": {"error": GuestError("no", value="no").to_wire()}}
    )
    assert isinstance(refused.error, GuestError)
    assert OperationOutcome.from_wire({"outcome": "running", "answer": None}).value is None


def test_functions_print_as_they_are_declared() -> None:
    assert str(FunctionExport("f", (Parameter("a", "u8"), Parameter("b", "string")), "bool")) == (
        "f(a: u8, b: string) -> bool"
    )
    assert str(FunctionExport("f", (), None)) == "f()"
    assert Exports.from_wire({"functions": [], "hashes": []}) == Exports((), ())
    assert HostSummary.from_wire({"host": "h", "version": "1", "actors": 2}).actors == 2
