"""Middleware around operations and host calls, through a real host: it observes, refuses and answers in place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from theater_bus.capability import HostCallMiddleware, OperationMiddleware
from theater_bus.core.values.cgrf import decode
from theater_bus.core.values.codec import tupled_import_codec, value_codec
from theater_bus.core.values.types import Function, Param, Scalar
from theater_bus.errors import Cancelled, GuestError, HandlerError, OperationTimeout, PermissionDenied

MOST = (1 << 64) - 1
ECHO = Function("echo", (Param("text", Scalar.STRING),), Scalar.STRING)


@pytest.fixture
def counter(guest_of: Any) -> Any:
    """The counter, as each kind in turn."""
    return guest_of("counter")


def operations(plugin: Any, wrap: Any, order: int = 0, name: str = "middleware") -> Any:
    return plugin(name, theater_operation_middleware=lambda: OperationMiddleware(order, wrap))


def host_calls(plugin: Any, wrap: Any, order: int = 0, name: str = "middleware") -> Any:
    return plugin(name, theater_host_call_middleware=lambda: HostCallMiddleware(order, wrap))


def text(data: bytes) -> str:
    return str(decode(data).value)  # type: ignore[union-attr]


def bare(recorded: bytes, kind: str) -> bytes:
    """A recorded argument: that of a component is a tuple, also when it is alone."""
    return recorded if kind == "module" else tupled_import_codec(ECHO).bare(recorded)


# -- operations --------------------------------------------------------------------------------------------------------


async def test_middleware_sees_every_operation_and_its_end_from_the_outside_in(
    start_host: Any, counter: Any, plugin: Any
) -> None:
    seen: list[Any] = []

    def observer(name: str) -> Any:
        async def wrap(info: Any, proceed: Any) -> bytes:
            seen.append((name, info.actor, info.function, info.caller, info.proof))
            try:
                value = await proceed()
            except GuestError as error:
                seen.append((name, error.message))
                raise
            seen.append((name, decode(value)))
            return value

        return wrap

    inner, outer = operations(plugin, observer("inner"), 2, "a"), operations(plugin, observer("outer"), 1, "b")
    host = await start_host(inner, outer)
    actor = await host.spawn(counter, id="c")
    assert [one[0] for one in seen] == ["outer", "inner", "inner", "outer"]
    assert seen[0] == ("outer", "c", "theater:simple/actor.init", "", "host")
    seen.clear()
    assert await actor.call_function("increment", [5]) == 5
    assert seen[:2] == [("outer", "c", "increment", "", "none"), ("inner", "c", "increment", "", "none")]
    assert [(name, value.value) for name, value in seen[2:]] == [("inner", 5), ("outer", 5)]
    seen.clear()
    with pytest.raises(GuestError, match="overflow"):
        await actor.call_function("increment", [MOST])
    assert [one[0] for one in seen] == ["outer", "inner", "inner", "outer"]
    assert "overflow" in seen[2][1]


async def test_an_operation_that_middleware_refuses_never_ran(
    start_host: Any, counter: Any, plugin: Any, bodies: Any
) -> None:
    async def quota(info: Any, proceed: Any) -> bytes:
        if info.function == "increment":
            raise PermissionDenied("the quota is used up", ran="committed")
        return bytes(await proceed())

    host = await start_host(operations(plugin, quota))
    actor = await host.spawn(counter)
    with pytest.raises(PermissionDenied, match="the quota is used up") as caught:
        await actor.call_function("increment", [5])
    assert caught.value.ran == "never"
    assert await actor.call_function("get") == 0
    assert [body.function for body in await bodies(actor, "call")] == ["theater:simple/actor.init", "get"]
    metrics = (await actor.get_metrics()).operation_metrics
    assert metrics.errors_by_code == {"permission-denied": 1}
    assert metrics.total_processing_time_ns < 10**11


@pytest.mark.parametrize("way", ["raises", "never proceeds"])
async def test_middleware_that_fails_ends_only_its_operation(
    start_host: Any, counter: Any, plugin: Any, way: str
) -> None:
    async def fails(info: Any, proceed: Any) -> bytes:
        if info.function != "increment":
            return bytes(await proceed())
        if way == "raises":
            raise ZeroDivisionError("a secret")
        return b""

    host = await start_host(operations(plugin, fails))
    actor = await host.spawn(counter)
    with pytest.raises(HandlerError) as caught:
        await actor.call_function("increment", [5])
    assert caught.value.ran == "never"
    assert "a secret" not in str(caught.value)
    assert await actor.call_function("get") == 0


async def test_middleware_that_fails_after_the_guest_changes_nothing(
    start_host: Any, counter: Any, plugin: Any
) -> None:
    problems: list[BaseException] = []

    async def fails(info: Any, proceed: Any) -> bytes:
        await proceed()
        try:
            await proceed()
        except RuntimeError as error:
            problems.append(error)
        raise PermissionDenied("too late")

    host = await start_host(operations(plugin, fails))
    actor = await host.spawn(counter)
    assert await actor.call_function("increment", [5]) == 5
    assert await actor.call_function("get") == 5
    assert {str(one) for one in problems} == {"this operation has run, or is over"}


@pytest.mark.parametrize("way", ["deadline", "cancel", "terminate"])
async def test_an_operation_that_waits_in_middleware_can_be_ended(
    start_host: Any, counter: Any, plugin: Any, eventually: Any, way: str
) -> None:
    waiting: list[str] = []
    ended: list[str] = []

    async def holds(info: Any, proceed: Any) -> bytes:
        if info.function == "increment":
            waiting.append(info.function)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(info.function)
        return bytes(await proceed())

    host = await start_host(operations(plugin, holds))
    actor = await host.spawn(counter)
    call = asyncio.create_task(actor.call_function("increment", [5], timeout=0.3 if way == "deadline" else 20, key="k"))
    await eventually(lambda: waiting)
    if way == "cancel":
        assert await actor.cancel("k") == "running"
    elif way == "terminate":
        await actor.terminate()
    expected = {"deadline": OperationTimeout, "cancel": Cancelled, "terminate": Cancelled}[way]
    with pytest.raises(expected) as caught:
        await call
    assert caught.value.ran in ("never", "unknown") if way == "deadline" else caught.value.ran == "never"
    await eventually(lambda: ended)
    if way != "terminate":
        assert await actor.call_function("get") == 0


# -- host calls --------------------------------------------------------------------------------------------------------


async def test_the_answer_of_a_mock_is_what_the_guest_sees_and_what_is_recorded(
    start_host: Any, plugin: Any, tool: Any, bodies: Any, kind: str
) -> None:
    seen: list[Any] = []

    async def mock(call: Any, proceed: Any) -> bytes:
        seen.append((call.interface, call.function, text(call.input)))
        if text(call.input) == "real":
            return bytes(await proceed())
        return value_codec(Scalar.STRING).encode("mocked").standalone()

    host = await start_host(tool, host_calls(plugin, mock))
    actor = await host.spawn(tool)
    assert await actor.call_function("echo", ["anything"]) == "mocked"
    assert await actor.call_function("echo", ["real"]) == "real"
    assert seen == [("test:tools/tool", "echo", "anything"), ("test:tools/tool", "echo", "real")]
    recorded = await bodies(actor, "host-call")
    inputs = [bare(one.input, kind) for one in recorded]
    assert [(text(given), one.outcome, text(one.output)) for given, one in zip(inputs, recorded, strict=True)] == [
        ("anything", "returned", "mocked"),
        ("real", "returned", "real"),
    ]


async def test_host_call_middleware_is_composed_from_the_outside_in(start_host: Any, plugin: Any, tool: Any) -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        async def wrap(call: Any, proceed: Any) -> bytes:
            order.append(name)
            return bytes(await proceed())

        return wrap

    host = await start_host(
        tool, host_calls(plugin, named("second"), 2, "a"), host_calls(plugin, named("first"), 1, "b")
    )
    actor = await host.spawn(tool)
    assert await actor.call_function("echo", ["x"]) == "x"
    assert order == ["first", "second"]


async def test_a_host_call_that_middleware_refuses_is_recorded_as_raised(
    start_host: Any, plugin: Any, tool: Any, bodies: Any
) -> None:
    async def policy(call: Any, proceed: Any) -> bytes:
        raise PermissionDenied("not today")

    host = await start_host(tool, host_calls(plugin, policy))
    actor = await host.spawn(tool)
    with pytest.raises(HandlerError):
        await actor.call_function("echo", ["x"])
    [recorded] = await bodies(actor, "host-call")
    assert (recorded.outcome, recorded.output) == ("raised", None)


async def test_log_lines_behind_an_observer_are_still_recorded_as_a_run(
    start_host: Any, guest_of: Any, plugin: Any, bodies: Any
) -> None:
    async def observes(call: Any, proceed: Any) -> bytes:
        return bytes(await proceed())

    host = await start_host(host_calls(plugin, observes), installed=["runtime"])
    actor = await host.spawn(guest_of("runtime"))
    await actor.call_function("log", ["a line"])
    assert [one.lines for one in await bodies(actor, "host-call") if hasattr(one, "lines")][-1] == ("a line",)
