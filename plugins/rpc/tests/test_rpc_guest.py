"""Calls between real guests, on one host and on two: by name, and through imports that are bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from theater_bus.capability import CapabilityError
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import TupleOf
from theater_bus.errors import HandlerError, SpawnRefused
from theater_bus.plugins import compile_capability
from theater_bus.telemetry import Telemetry, TraceCollector
from theater_bus.testing import relay_guest, running_host
from theater_bus_rpc import Rpc

from .conftest import CALCULATOR, INTERFACE, Calculator, Desk, Nothing, Place

TYPE = compile_capability("rpc", Rpc)
HASHES = {name: digest.hex() for name, digest in TYPE.hashes().items()}


def exact(types: str, *values: Any) -> Any:
    """A parameter tuple of these types, or with one type the only parameter, as a guest passes it."""
    (function,) = parse(f"interface x {{ exports {{ f: func({types}) }} }}").interfaces[0].functions
    found = tuple(param.type for param in function.params)
    type_, value = (found[0], values[0]) if len(found) == 1 else (TupleOf(found), list(values))
    return {"$cgrf": value_codec(type_).encode(value).standalone()}


async def err(awaitable: Any) -> str:
    """The `err` of a function, whose export answers with a tuple of it."""
    (answer,) = await awaitable
    assert list(answer) == ["err"]
    return str(answer["err"])


# -- contract ----------------------------------------------------------------------------------------------------------


def test_the_test_s_desk_imports_what_the_plugin_offers() -> None:
    desk = compile_capability("desk", Desk).hashes()
    assert {name: desk[name].hex() for name in HASHES} == HASHES


# -- by name -----------------------------------------------------------------------------------------------------------


async def test_a_function_is_called_by_name_with_the_caller_s_identity(place: Place) -> None:
    calculator, desk = await place.calculator("calc"), await place.desk()
    name = f"{CALCULATOR}.divide"
    assert await desk.call_function("call", ["calc", name, exact("a: s32, b: s32", 7, 2), None]) == [{"ok": 3}]
    assert await desk.call_function("call", ["calc", f"{CALCULATOR}.last", None, None]) == [{"ok": 7}]
    assert await desk.call_function(
        "call", ["calc", f"{CALCULATOR}.negate", exact("a: s32", 5), {"timeout-ms": 5000}]
    ) == [{"ok": -5}]
    bodies = [event.body for event in await calculator.get_chain().all() if event.type == "call"]
    assert {body.caller for body in bodies} == {"desk"}
    assert await calculator.get_state() == -5


async def test_what_keeps_the_other_from_answering_is_an_err(place: Place) -> None:
    await place.calculator("calc")
    desk = await place.desk()

    def call(actor: str, function: str, params: Any = None, options: Any = None) -> Any:
        return err(desk.call_function("call", [actor, function, params, options]))

    divide = f"{CALCULATOR}.divide"
    assert "division by zero" in await call("calc", divide, exact("a: s32, b: s32", 1, 0))
    assert (await call("calc", divide, exact("a: s32", 1))).startswith("type-mismatch: ")
    assert (await call("calc", "no-such-function")).startswith("function-not-found: ")
    assert (await call("nobody", divide, exact("a: s32, b: s32", 1, 1))).startswith("actor-not-found: ")
    assert "timeout-ms, 1 or more" in await call("calc", divide, None, {"timeout-ms": 0})
    assert "timeout-ms, 1 or more" in await call("calc", divide, None, {"patience": 5})


async def test_a_call_to_oneself_and_one_that_comes_back_are_cycles(place: Place) -> None:
    desk, other = await place.desk(), await place.desk("other")
    assert (await err(desk.call_function("call", ["desk", "is-bound", "x", None]))).startswith("call-cycle: ")
    back = exact("a: string, b: string, c: value, d: value", "desk", "is-bound", "x", None)
    answer = await desk.call_function("call", ["other", "call", back, None])
    assert str(answer[0]["ok"][0]["err"]).startswith("call-cycle: ")
    assert await other.call_function("is-bound", ["x"]) is False


async def test_the_lifecycle_and_callbacks_are_never_reached(place: Place) -> None:
    await place.calculator("calc")
    desk = await place.desk()
    names = ["theater:simple/actor.init", "theater:simple/timer.handle-tick", "theater:bus/messages.send"]
    for name in names:
        message = await err(desk.call_function("call", ["calc", name, None, None]))
        assert message == f"{name} is reached by hosts and capabilities only"


async def test_what_others_offer(place: Place) -> None:
    await place.calculator("calc")
    desk = await place.desk()
    assert await desk.call_function("exports", ["calc"]) == [{"ok": [CALCULATOR, "nothing"]}]
    assert await desk.call_function("implements", ["calc", CALCULATOR]) == [{"ok": True}]
    assert await desk.call_function("implements", ["calc", "my:math/other"]) == [{"ok": False}]
    for function in ("exports", "implements"):
        params = ["nobody"] if function == "exports" else ["nobody", CALCULATOR]
        assert (await err(desk.call_function(function, params))).startswith("actor-not-found: ")


async def test_nobody_is_called_without_a_grant(place: Place) -> None:
    await place.calculator("calc")
    await place.calculator("other")
    desk = await place.desk(calls=[f"calc.{CALCULATOR}.add", "*.*.last"])
    assert await desk.call_function("call", ["calc", f"{CALCULATOR}.add", exact("a: s32, b: s32", 1, 2), None]) == [
        {"ok": 3}
    ]
    assert await desk.call_function("call", ["other", f"{CALCULATOR}.last", None, None]) == [{"ok": 7}]
    denied = [("other", f"{CALCULATOR}.add"), ("calc", f"{CALCULATOR}.divide"), ("calc", "nothing"), ("*", "*.last")]
    denied += [(">", ""), ("../../etc/passwd", "x.last"), ("calc.x", f"{CALCULATOR}.last"), ("", ""), ("calc", "\0")]
    for actor, function in denied:
        message = await err(desk.call_function("call", [actor, function, None, None]))
        assert message.startswith("the grant rpc.calls does not name"), (actor, function, message)
    assert await desk.call_function("exports", ["other"]) == [{"ok": [CALCULATOR]}]
    assert "Fix: `calls = [" in await err(desk.call_function("bind", [CALCULATOR, "calc"]))
    nobody = await place.desk("nobody", calls=[])
    assert await nobody.call_function("exports", ["calc"]) == [{"ok": []}]


# -- bound imports -----------------------------------------------------------------------------------------------------


async def test_an_import_is_bound_to_another_actor(place: Place) -> None:
    calculator, desk = await place.calculator("calc"), await place.desk()
    assert await desk.call_function("is-bound", [CALCULATOR]) is False
    assert "is not bound to an actor" in await err(desk.call_function("divide", [6, 2]))
    with pytest.raises(HandlerError):
        await desk.call_function("add", [1, 2])
    assert await desk.call_function("bind", [CALCULATOR, "calc"]) == [{"ok": []}]
    assert await desk.call_function("bound-to", [CALCULATOR]) == "calc"
    assert await desk.call_function("add", [1, 2]) == 3
    assert await desk.call_function("last") == 7
    assert await desk.call_function("negate", [5]) == [{"ok": -5}]
    assert await desk.call_function("divide", [6, 2]) == [{"ok": 3}]
    assert await err(desk.call_function("divide", [6, 0])) == "division by zero"
    assert await calculator.get_state() == 3
    await desk.call_function("unbind", [CALCULATOR])
    assert await desk.call_function("bound-to", [CALCULATOR]) is None
    assert "is not bound" in await err(desk.call_function("unbind", [CALCULATOR]))


async def test_only_an_actor_with_the_same_signatures_is_bound(start_host: Any) -> None:
    class Wrong(Calculator):
        pact = INTERFACE.replace("negate: func(state: s32, a: s32)", "negate: func(state: s32, a: s64)")

    class Less(Calculator):
        pact = INTERFACE.replace("        last: func() -> s32\n", "")

    for cls, says in ((Wrong, "negate of actor 'calc'"), (Less, "last of actor 'calc'")):
        host = await start_host(Nothing, cls, installed=["rpc"])
        place = Place(host, host)
        await place.calculator("calc", cls)
        desk = await place.desk()
        message = await err(desk.call_function("bind", [CALCULATOR, "calc"]))
        assert says in message
        assert await desk.call_function("implements", ["calc", CALCULATOR]) == [{"ok": False}]
        assert await desk.call_function("is-bound", [CALCULATOR]) is False
        other = await err(desk.call_function("bind", [CALCULATOR, "desk"]))
        assert "has no interface" in other


class Changed(Calculator):
    """A calculator of a later day, whose answers and errors have other types."""

    pact = INTERFACE.replace(
        "b: s32) -> result<tuple<s32, s32>, string>", "b: s32) -> result<tuple<s32, list<u8>>, u32>"
    )

    def divide(self, state: int, a: int, b: int) -> Any:
        if b == 0:
            raise CapabilityError(404)
        return [state, b"a/b"]


async def test_a_bound_actor_that_is_another_one_meanwhile_answers_with_an_err(start_host: Any) -> None:
    host = await start_host(Nothing, Calculator, installed=["rpc"], namespace="rpc-changed", host_id="first")
    other = await start_host(Nothing, Changed, installed=["rpc"], namespace="rpc-changed", host_id="other")
    place = Place(host, host)
    calculator, desk = await place.calculator("calc"), await place.desk()
    assert await desk.call_function("bind", [CALCULATOR, "calc"]) == [{"ok": []}]
    await calculator.terminate(wait=True)
    await Place(other, other).calculator("calc", Changed)
    for b in (2, 0):
        [answer] = await desk.call_function("divide", [4, b])
        assert answer["err"].startswith("type-mismatch: the answer is not of the type that this actor imports: ")
    assert await desk.call_function("last") == 7


async def test_imports_that_nobody_grants_are_not_bound(place: Place) -> None:
    with pytest.raises(SpawnRefused, match=r"my:math/calculator .*no capability of this actor provides it"):
        await place.desk(imports=[])
    with pytest.raises(SpawnRefused, match="is an interface of capabilities"):
        await place.desk(imports=["theater:simple/timer"])
    desk = await place.desk(imports=[CALCULATOR, "my:other/thing"])
    assert "does not name 'my:strange/thing'" in await err(desk.call_function("bind", ["my:strange/thing", "desk"]))
    assert "does not import my:other/thing" in await err(desk.call_function("bind", ["my:other/thing", "desk"]))


async def test_a_host_may_grant_less(start_host: Any) -> None:
    policy: dict[str, Any] = {"rpc": {"imports": []}, "nothing": {}, "calculator": {}}
    host = await start_host(Nothing, Calculator, installed=["rpc"], grants=policy)
    place = Place(host, host)
    await place.calculator("calc")
    desk = await place.desk()
    assert "does not name 'my:math/calculator'" in await err(desk.call_function("bind", [CALCULATOR, "calc"]))
    assert "does not name 'my:math/calculator'" in await err(desk.call_function("divide", [1, 1]))


async def test_bindings_come_back_with_their_actor(start_host: Any, tmp_path: Path, theater_server: Any) -> None:
    options: dict[str, Any] = {"installed": ["rpc"], "data_dir": tmp_path, "namespace": "rpc-comes-back"}
    calculators = await start_host(Nothing, Calculator, namespace="rpc-comes-back", host_id="other")
    await Place(calculators, calculators).calculator("calc")
    async with running_host(server=theater_server, **options) as host:
        settings = {"rpc": {"calls": [">"], "imports": [CALCULATOR]}}
        desk = await host.spawn(relay_guest(Desk), id="d", capabilities=settings, chain={"durability": "file"})
        await desk.call_function("bind", [CALCULATOR, "calc"])
        assert await desk.call_function("add", [1, 2]) == 3
    async with running_host(server=theater_server, **options) as host:
        desk = host.theater.actor("d")
        assert await desk.call_function("bound-to", [CALCULATOR]) == "calc"
        assert await desk.call_function("add", [2, 2]) == 4


async def test_a_call_and_what_it_calls_are_one_trace_and_are_recorded(start_host: Any) -> None:
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider, host_id="h")
    host = await start_host(Nothing, Calculator, installed=["rpc"], telemetry=telemetry)
    place = Place(host, host)
    await place.calculator("calc")
    desk = await place.desk()
    await desk.call_function("bind", [CALCULATOR, "calc"])
    await desk.call_function("divide", [6, 2])
    called = [event.body for event in await desk.get_chain().all() if event.type == "host-call"]
    assert [(one.interface, one.function) for one in called[-1:]] == [(CALCULATOR, "divide")]
    assert called[-1].outcome == "returned"
    await telemetry.flush()
    provider.shutdown()
    named = {span.name: span for span in collector.spans()}
    inner = named[f"theater.Actor/{CALCULATOR}.divide"]
    outer = named["theater.Actor/divide"].context
    assert inner.context is not None
    assert outer is not None
    assert inner.context.trace_id == outer.trace_id
    assert inner.parent is not None


async def test_an_operation_that_fails_binds_nothing(start_host: Any) -> None:
    host = await start_host(Nothing, Calculator, installed=["rpc"])
    place = Place(host, host)
    await place.calculator("calc")
    desk = await place.desk()
    rpc = host.host.actors["desk"].capabilities["rpc"]
    rpc._set(CALCULATOR, "before")
    assert "no interface" in await err(desk.call_function("bind", [CALCULATOR, "desk"]))
    rpc._changed(CALCULATOR, "calc", took_effect=False)
    assert await desk.call_function("bound-to", [CALCULATOR]) == "calc"


async def test_a_guest_that_declares_no_result_learns_of_no_failure(place: Place) -> None:
    await place.calculator("calc")
    desk = await place.desk()
    await desk.call_function("bind", [CALCULATOR, "calc"])
    await place.first.theater.actor("calc").shutdown(wait=True)
    with pytest.raises(HandlerError):
        await desk.call_function("add", [1, 2])
    assert (await err(desk.call_function("divide", [1, 2]))).startswith("actor-not-found: ")
