"""Every row of the error table that a host can answer with: provoked, with what became of the operation (`ran`)."""

from __future__ import annotations

import pytest

from theater_bus.capability import Authorizer, Decision, Request
from theater_bus.client import ActorHandle
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import ListOf, Scalar, TupleOf
from theater_bus.core.wire.subjects import Subjects
from theater_bus.errors import (
    ActorError,
    ActorExists,
    ActorNotFound,
    CallCycle,
    Cancelled,
    FunctionNotFound,
    GuestError,
    HandlerError,
    Internal,
    KeyReused,
    NotPaused,
    OperationTimeout,
    Overloaded,
    Paused,
    PermissionDenied,
    SerializationError,
    ShuttingDown,
    SpawnRefused,
    TooLarge,
    TypeMismatch,
    UnexpectedError,
    UnknownVerb,
    UnsupportedVersion,
)
from theater_bus.host.actor import Actor

from .conftest import Stage, eventually, one_kind, packed, plugin

FEW = "[limits]\ndecode_nodes = 16\n"
AT_ONCE = 'on_failure = { action = "restart", max_restarts = 1000, backoff_ms = 0 }\n'


def check(error: ActorError, cls: type[ActorError], ran: str) -> None:
    """The class that went in at the host comes out, and says what became of the operation."""
    assert type(error) is cls, error
    assert (error.ran, error.details["ran"]) == (ran, ran)


async def paused(stage: Stage, manifest: str = "") -> Actor:
    actor = await stage.spawn(await stage.host(), "a", manifest=manifest)
    await stage.control("a", "pause")
    return actor


async def test_operation_timeout_queued_never_ran(stage: Stage) -> None:
    await paused(stage)
    check(await stage.error(stage.call("a", "add", 1, timeout_ms=30)), OperationTimeout, "never")
    error = await stage.error(stage.handle("a").call_function("add", [1], timeout=0.03))
    check(error, OperationTimeout, "never")
    assert error.details["phase"] == "queued"


async def test_operation_timeout_running_is_rolled_back(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    check(await stage.error(stage.call("a", "add-held", 1, timeout_ms=50)), OperationTimeout, "rolled-back")
    error = await stage.error(stage.handle("a").call_function("add-held", [1], timeout=0.05))
    check(error, OperationTimeout, "rolled-back")
    assert error.actor == "a"
    assert await stage.call("a", "add", 0) == 0


@one_kind
async def test_a_request_that_expired_on_its_way_never_ran(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    error = await stage.error(stage.call("a", "add", 1, timeout_ms=5, sent_ms=_now_ms() - 1000))
    check(error, OperationTimeout, "never")


@one_kind
async def test_cancelled_queued_never_ran(stage: Stage) -> None:
    actor = await paused(stage)
    call = stage.start(stage.call("a", "add", 1, op="k"))
    await eventually(lambda: len(actor.mailbox) == 1)
    assert (await stage.control("a", "cancel", op="k"))["cancelled"] == "queued"
    check(await stage.error(call), Cancelled, "never")


async def test_cancelled_running_is_rolled_back(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    call = stage.start(stage.handle("a").call_function("add-held", [1], key="k"))
    await stage.gates.arrival("held")
    assert await stage.handle("a").cancel("k") == "running"
    check(await stage.error(call), Cancelled, "rolled-back")


@one_kind
async def test_actor_not_found(stage: Stage) -> None:
    await stage.host()
    check(await stage.error(stage.handle("nobody").call_function("add", [1], timeout=5)), ActorNotFound, "never")
    check(await stage.error(stage.handle("nobody").shutdown(timeout=5)), ActorNotFound, "never")


@one_kind
async def test_actor_exists(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    check(await stage.error(stage.spawn(host, "a")), ActorExists, "never")


async def test_shutting_down(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    running = stage.start(stage.call("a", "add-held", 1))
    gate = await stage.gates.arrival("held")
    await stage.control("a", "shutdown")
    check(await stage.error(stage.call("a", "add", 1)), ShuttingDown, "never")
    check(await stage.error(stage.handle("a").call_function("add", [1])), ShuttingDown, "never")
    gate.set_result("")
    assert await running == 1


@one_kind
async def test_overloaded_names_the_bound(stage: Stage) -> None:
    actor = await paused(stage, "[mailbox]\noperations = 2\n")
    waiting = [stage.start(stage.call("a", "add", 1)) for _ in range(2)]
    await eventually(lambda: len(actor.mailbox) == 2)
    check(await stage.error(stage.call("a", "add", 1)), Overloaded, "never")
    error = await stage.error(stage.handle("a").call_function("add", [1], timeout=5, keyed=False))
    check(error, Overloaded, "never")
    assert error.details["bound"] == "mailbox.operations"
    await stage.control("a", "resume")
    assert [await one for one in waiting] == [1, 2]


async def test_function_not_found_names_the_nearest(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    error = await stage.error(stage.call("a", "ad", 1))
    check(error, FunctionNotFound, "never")
    assert "add" in error.details["nearest"]
    check(await stage.error(stage.handle("a").call_function("ad", [1])), FunctionNotFound, "never")


async def test_function_not_found_names_functions_of_interfaces_that_are_called_so(stage: Stage) -> None:
    """A bare name does not reach them, and is not near the whole one."""
    await stage.spawn(await stage.host(), "a", guest_name="echo", state="none")
    error = await stage.error(stage.call("a", "u32", 1))
    check(error, FunctionNotFound, "never")
    assert "Did you mean test:echo/plain.u32" in error.message
    assert "test:echo/plain.u32" in error.details["nearest"]


@pytest.mark.parametrize("params", [["x"], [], [1, 2], [-1], [1 << 64], [True], [1.5], {"bye": 1}])
async def test_type_mismatch_of_parameters_never_ran(stage: Stage, params: object) -> None:
    await stage.spawn(await stage.host(), "a")
    body = packed({"v": 1, "params": params}) if params != [1 << 64] else b"[18446744073709551616]"
    error = await stage.error(stage.ask(stage.subject("a", "add"), body))
    check(error, TypeMismatch, "never")
    assert error.details["path"].startswith("params")


async def test_type_mismatch_of_a_result_is_rolled_back(stage: Stage, kind: str) -> None:
    await stage.spawn(await stage.host(), "c", guest_name="chaos", manifest="on_failure = 'stop'\n")
    for what in ("state", "value", "no-state", "no-result"):
        error = await stage.error(stage.call("c", "wrong", what))
        check(error, TypeMismatch, "rolled-back")
        assert error.details["path"].startswith("result")
    check(await stage.error(stage.handle("c").call_function("wrong", ["value"])), TypeMismatch, "rolled-back")
    if kind == "module":  # a component has no status beside its result
        check(await stage.error(stage.call("c", "fail", "no such thing")), TypeMismatch, "rolled-back")
    assert await stage.call("c", "count") == 0


@one_kind
@pytest.mark.parametrize(
    "body",
    [
        b"\x81",
        b"\xc1",
        b"\x93\x01\x02\x03",
        b"{",
        b'{"by":1}{"by":2}',
        b'{"by":1,"by":2}',
        packed({"params": [1]}),
        packed({"v": 1, "params": [1], "parms": [1]}),
        packed({"v": 1, "params": [1], "cgrf": b""}),
        packed({"v": 1, "cgrf": b"CGRF"}),
        packed({"v": 1, "params": 5}),
        packed({"v": 1, "params": [1], "timeout_ms": 1 << 40}),
        packed({"v": 1, "params": [1], "op": ""}),
        b"[" * 2000 + b"]" * 2000,
    ],
    ids=range(14),
)
async def test_serialization_error_never_ran(stage: Stage, body: bytes) -> None:
    await stage.spawn(await stage.host(), "a")
    check(await stage.error(stage.ask(stage.subject("a", "add"), body)), SerializationError, "never")
    assert await stage.call("a", "add", 0) == 0


@one_kind
async def test_too_large_a_request_never_ran(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a", manifest="[mailbox]\nbytes = 2048\n")
    gate = stage.start(stage.call("a", "wait", "x"))
    held = await stage.gates.arrival("x")
    check(await stage.error(stage.call("a", "wait", "y" * 4000)), TooLarge, "never")
    check(await stage.error(stage.handle("a").call_function("wait", ["y" * 4000])), TooLarge, "never")
    held.set_result("z")
    assert await gate == "z"


async def test_too_large_a_result_is_rolled_back(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "c", guest_name="chaos")
    error = await stage.error(stage.call("c", "big", 2_000_000))
    check(error, TooLarge, "rolled-back")
    assert error.details["size_bytes"] > 2_000_000
    assert error.details["limit_bytes"] == stage.connection.max_payload
    check(await stage.error(stage.handle("c").call_function("big", [2_000_000])), TooLarge, "rolled-back")
    assert await stage.call("c", "count") == 0


async def test_more_nodes_than_the_manifest_decodes_are_too_large(stage: Stage, kind: str) -> None:
    host = await stage.host()
    await stage.spawn(host, "e", guest_name="echo", manifest=FEW, state="none")
    echo, few, many = "test:echo/plain.list-string", ["x"] * 15, ["x"] * 16
    subject = Subjects(stage.namespace).ops("e", echo, None)
    assert await stage.ask(subject, packed({"v": 1, "params": [few]})) == few
    check(await stage.error(stage.ask(subject, packed({"v": 1, "params": [many]}))), TooLarge, "never")
    cgrf = value_codec(TupleOf((ListOf(Scalar.STRING),))).encode([many]).standalone()
    if kind == "component":  # which takes and gives values of its own, for which all is decoded
        check(await stage.error(stage.ask(subject, packed({"v": 1, "cgrf": cgrf, "reply": "cgrf"}))), TooLarge, "never")
        return
    answer = await stage.ask(subject, packed({"v": 1, "cgrf": cgrf, "reply": "cgrf"}))
    assert value_codec(ListOf(Scalar.STRING)).check(answer).count == 17
    error = await stage.error(stage.ask(subject, packed({"v": 1, "cgrf": cgrf})))
    check(error, TooLarge, "rolled-back")
    assert error.details["limit"] == 16
    await stage.spawn(host, "f", guest_name="echo", state=many, manifest=FEW)
    with pytest.raises(TooLarge):
        await stage.info("f", "state")


@one_kind
async def test_unsupported_version(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    body = packed({"v": 2, "params": [1]})
    check(await stage.error(stage.ask(stage.subject("a", "add"), body)), UnsupportedVersion, "never")


@one_kind
async def test_unknown_verb_on_every_channel_of_verbs(stage: Stage) -> None:
    host = await stage.host()
    await stage.spawn(host, "a")
    for subject in (
        stage.subject("a", "statu", "info"),
        stage.subject("a", "stop", "control"),
        f"theater.{stage.namespace}.host.{host.id}.explode",
    ):
        check(await stage.error(stage.ask(subject)), UnknownVerb, "never")


async def test_key_reused(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    assert await stage.call("a", "add", 1, op="k") == 1
    check(await stage.error(stage.call("a", "add", 2, op="k")), KeyReused, "never")
    check(await stage.error(stage.call("a", "wait", "x", op="k")), KeyReused, "never")
    check(await stage.error(stage.handle("a").call_function("add", [2], key="k")), KeyReused, "never")


@one_kind
async def test_call_cycle_carries_the_path(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    error = await stage.error(stage.call("a", "add", 1, path=["x", "a", "y"]))
    check(error, CallCycle, "never")
    assert error.details["path"] == ["x", "a", "y", "a"]


@one_kind
async def test_permission_denied_without_a_proven_caller(stage: Stage) -> None:
    host = await stage.host(caller_subjects=True)
    await stage.spawn(host, "a", manifest="require_caller = true\n")
    check(await stage.error(stage.call("a", "add", 1)), PermissionDenied, "never")
    check(await stage.error(stage.handle("a").call_function("add", [1])), PermissionDenied, "never")
    assert await stage.call("a", "add.@.alice", 1) == 1


@one_kind
async def test_permission_denied_by_an_authoriser(stage: Stage) -> None:
    async def decide(request: Request) -> Decision:
        if request.function == "refuse":
            raise RuntimeError("an authoriser that raises refuses")
        return Decision(request.function == "add", "only add")

    judge = plugin(theater_authorizers=lambda: Authorizer(0, decide))
    await stage.spawn(await stage.host(extra=(("judge", judge),)), "a")
    assert await stage.call("a", "add", 1) == 1
    error = await stage.error(stage.call("a", "wait", "x"))
    check(error, PermissionDenied, "never")
    assert "only add" in error.message
    check(await stage.error(stage.handle("a").call_function("refuse")), PermissionDenied, "never")


@one_kind
async def test_spawn_refused_says_what_to_add(stage: Stage) -> None:
    host = await stage.host()
    error = await stage.error(stage.spawn(host, "a", manifest="[chain]\ndurability = 'file'\n"))
    check(error, SpawnRefused, "never")
    assert "--data" in error.message
    body = packed({"v": 1, "params": {"manifest": {"name": "x"}, "package": "sha256:" + "00" * 32}})
    error = await stage.error(stage.ask(f"theater.{stage.namespace}.host.{host.id}.spawn", body))
    check(error, SpawnRefused, "never")


async def test_guest_error_is_committed(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    error = await stage.error(stage.call("a", "refuse", op="k"))
    check(error, GuestError, "committed")
    assert error.details["value"] == "overflow"
    again = await stage.error(stage.handle("a").call_function("refuse", key="k"))
    check(again, GuestError, "committed")
    assert [event.type for event in await stage.events("a")] == ["genesis", "call", "result", "call", "error"]


@pytest.mark.parametrize(
    ("trap", "reason"),
    [
        ("unreachable", "unreachable"),
        ("divide", "integer-divide-by-zero"),
        ("outside", "out-of-bounds"),
        ("null-call", "indirect-call-to-null"),
        ("wrong-call", "indirect-call-type-mismatch"),
        ("recursion", "stack-overflow"),
    ],
)
async def test_guest_trap_is_rolled_back_and_named(stage: Stage, trap: str, reason: str) -> None:
    await stage.spawn(await stage.host(), "c", guest_name="chaos")
    assert await stage.call("c", "touch") == 1
    error = await stage.error(stage.handle("c").call_function("trap", [trap]))
    check(error, Internal, "rolled-back")
    assert error.details["reason"] == reason
    assert await stage.call("c", "count") == 1


async def test_limits_are_named(stage: Stage, kind: str) -> None:
    limits = "[limits]\ncpu_ms = 30\nmemory_pages = 32\nhost_calls = 20\nresult_bytes = 100_000\n"
    await stage.spawn(await stage.host(), "c", guest_name="chaos", manifest=limits)
    for function, params, reason in (
        ("spin", [], "cpu-limit"),
        ("eat", ["trap"], "memory-limit" if kind == "module" else "unreachable"),  # its memory cannot be measured
        ("flood", [], "record-limit"),
        ("big", [200_000], "result-limit"),
    ):
        error = await stage.error(stage.call("c", function, *params))
        check(error, Internal, "rolled-back")
        assert (function, error.details["reason"]) == (function, reason)
    assert await stage.call("c", "count") == 0


async def test_garbage_of_a_guest_is_an_error_of_that_call_alone(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "c", guest_name="chaos", manifest=AT_ONCE)
    for what in ("overflowing", "past-end", "huge", "untouched", "noise", "cut-short", "cycle", "bomb", "expansion",
                 "deep", "bad-text", "lost-message", "bad-message", "odd-status"):  # fmt: skip
        error = await stage.error(stage.call("c", "garbage", what))
        assert error.ran == "rolled-back", (what, error)
        if what in ("noise", "bad-message"):
            assert isinstance(error, TypeMismatch)
    assert await stage.call("c", "count") == 0


async def test_capability_failed_replaces_the_instance_and_goes_on(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    await stage.call("a", "add", 4)
    error = await stage.error(stage.call("a", "wait", "!raise"))
    check(error, HandlerError, "rolled-back")
    assert "broken on purpose" not in str(error)
    check(await stage.error(stage.handle("a").call_function("wait", ["!raise"])), HandlerError, "rolled-back")
    assert await stage.call("a", "add", 1) == 5


@one_kind
async def test_paused_and_not_paused(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    check(await stage.error(stage.control("a", "resume")), NotPaused, "never")
    assert await stage.handle("a").pause() == "paused"
    check(await stage.error(stage.handle("a").pause()), Paused, "never")
    assert await stage.handle("a").resume() == "running"
    check(await stage.error(stage.handle("a").resume()), NotPaused, "never")


@one_kind
async def test_unexpected_error_has_a_correlation_and_no_traceback(stage: Stage) -> None:
    host = await stage.host()
    actor = await stage.spawn(host, "a")
    actor.metrics = None  # type: ignore[assignment]  # a bug of ours
    error = await stage.error(stage.info("a", "metrics"))
    check(error, UnexpectedError, "unknown")
    assert "Traceback" not in str(error)
    assert error.details["correlation"]
    assert (await stage.info("a"))["phase"] == "running"


@one_kind
async def test_every_error_of_a_bare_json_request_is_bare_json(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    reply = await stage.connection.request_one(stage.subject("a", "add"), b'["x"]', timeout_s=5)
    assert reply.data.startswith(b'{"code":"type-mismatch"')
    assert reply.headers is not None
    assert reply.headers["Nats-Service-Error"] == "type-mismatch"
    assert reply.headers["Nats-Service-Error-Code"] == "422"


@one_kind
async def test_a_handle_is_not_needed_to_name_the_actor(stage: Stage) -> None:
    handle: ActorHandle = stage.handle("a")
    await stage.spawn(await stage.host(), "a")
    error = await stage.error(handle.call_function("refuse"))
    assert str(error).startswith("actor 'a': ")


def _now_ms() -> int:
    from time import time

    return int(time() * 1000)
