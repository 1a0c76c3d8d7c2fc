"""What plugins register is taken whole or not at all, in a fixed order; hooks run each with its own bound."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from theater_bus.capability import Authorizer, HostCallMiddleware, OperationMiddleware, hookimpl
from theater_bus.plugins import PluginRegistry


def plugin(**hooks: Any) -> SimpleNamespace:
    """An object whose attributes are marked as hooks."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in hooks.items()})


def registry(**plugins: SimpleNamespace) -> PluginRegistry:
    return PluginRegistry.discover(found=[], extra=list(plugins.items()), hook_bound_s=0.05)


async def pass_on(_context: Any, proceed: Any) -> bytes:
    return await proceed()


async def allow(_request: Any) -> None:
    return None


def test_middleware_is_ordered_by_its_order_and_then_by_the_plugins_name() -> None:
    early, late, second = (OperationMiddleware(order, pass_on) for order in (1, 9, 5))
    first = OperationMiddleware(5, pass_on)
    call = HostCallMiddleware(0, pass_on)
    found = registry(
        zeta=plugin(theater_operation_middleware=lambda: second, theater_host_call_middleware=lambda: call),
        alpha=plugin(theater_operation_middleware=lambda: [late, first, early]),
    )
    assert [id(one) for one in found.operation_middleware] == [id(one) for one in (early, first, second, late)]
    assert found.host_call_middleware == [call]


def test_an_authorizer_without_a_name_gets_the_plugins() -> None:
    found = registry(
        guard=plugin(theater_authorizers=lambda: Authorizer(0, allow)),
        other=plugin(theater_authorizers=lambda: [Authorizer(5, allow, "its own")]),
    )
    assert [one.name for one in found.authorizers] == ["guard", "its own"]


async def registers_late() -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("hook", "function", "problem"),
    [
        ("theater_capabilities", lambda: [int], "int is no subclass of Capability"),
        ("theater_capabilities", lambda: ["clock"], "it returned 'clock', and type is due"),
        ("theater_capabilities", lambda: (1 / 0 for _ in "x"), "ZeroDivisionError"),
        ("theater_capabilities", registers_late, "it is async, and hooks that register are not awaited"),
        ("theater_authorizers", lambda: allow, "Authorizer is due"),
        ("theater_operation_middleware", lambda: HostCallMiddleware(0, pass_on), "OperationMiddleware is due"),
        ("theater_host_call_middleware", lambda: 5, "it returned 5, and HostCallMiddleware is due"),
        ("theater_cli", lambda: ["hello"], "a mapping is due"),
        ("theater_package_resolvers", lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_plugin_that_fails_in_one_hook_offers_nothing_at_all(hook: str, function: Any, problem: str) -> None:
    hooks = {"theater_authorizers": lambda: Authorizer(0, allow), hook: function}
    found = registry(bad=plugin(**hooks), good=plugin(theater_cli=lambda: {"hello": "m:c"}))
    [failure] = found.failures
    assert failure.plugin == "bad"
    assert problem in str(failure)
    assert hook in failure.subject
    assert found.authorizers == []
    assert found.plugins[0].hooks == ()
    assert found.commands == {"hello": "m:c"}


def test_two_plugins_with_one_capability_are_named_both(capability: Any) -> None:
    def now(self: Any) -> int:
        return 1

    one, two = capability("now: func() -> u64", now=now), capability("now: func() -> u64", now=now)
    found = registry(
        b=plugin(theater_capabilities=lambda: [two], theater_cli=lambda: {"x": "m:c"}),
        a=plugin(theater_capabilities=lambda: [one]),
    )
    assert found.capabilities["tool"].cls is one
    assert found.commands == {}
    [failure] = found.failures
    assert failure.plugin == "b"
    assert "plugin 'a' already offers a capability of that name" in str(failure)


def test_one_plugin_with_a_capability_twice_is_refused(capability: Any) -> None:
    one = capability("now: func()", now=lambda self: None)
    found = registry(a=plugin(theater_capabilities=lambda: [one, one]))
    assert "plugin 'a' already offers" in str(found.failures[0])
    assert found.capabilities == {}


@pytest.mark.parametrize("hook", ["theater_cli", "theater_package_resolvers"])
def test_a_command_or_scheme_that_is_taken_is_refused(hook: str) -> None:
    found = registry(a=plugin(**{hook: lambda: {"x": "a"}}), b=plugin(**{hook: lambda: {"x": "b"}}))
    assert (found.commands | found.package_resolvers) == {"x": "a"}
    assert [failure.plugin for failure in found.failures] == ["b"]


def test_two_capabilities_with_one_interface_are_both_there_for_the_manifest_to_choose(capability: Any) -> None:
    one = capability("now: func()", now=lambda self: None)
    two = type("Other", (one,), {"name": "other"})
    found = registry(a=plugin(theater_capabilities=lambda: [one]), b=plugin(theater_capabilities=lambda: [two]))
    assert found.failures == []
    assert [capability.name for capability, _ in found.providers("test:tool/api")] == ["tool", "other"]
    assert found.providers("test:tool/nothing") == []


def test_telemetry_is_kept_with_the_plugin_that_registers_it() -> None:
    found = registry(a=plugin(theater_telemetry=lambda: ["one", "two"]))
    assert found.telemetry == [("a", "one"), ("a", "two")]


async def test_lifecycle_hooks_run_in_order_with_the_parameters_that_they_take() -> None:
    seen: list[Any] = []

    async def waits(actor: str) -> str:
        await asyncio.sleep(0)
        seen.append(("b", actor))
        return "waited"

    found = registry(
        b=plugin(theater_actor_stopping=waits),
        a=plugin(theater_actor_stopping=lambda reason: seen.append(("a", reason))),
        c=plugin(theater_actor_stopping=lambda: seen.append(("c", None))),
        d=plugin(theater_cli=lambda: {"x": "m:c"}),
    )
    results = await found.run("theater_actor_stopping", actor="counter", reason="shutdown")
    assert seen == [("a", "shutdown"), ("b", "counter"), ("c", None)]
    assert [(one.plugin, one.result, one.exception) for one in results] == [
        ("a", None, None),
        ("b", "waited", None),
        ("c", None, None),
    ]


async def test_a_lifecycle_hook_that_fails_or_hangs_is_named_and_hides_no_other() -> None:
    ended = []

    async def hangs(host: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(host)

    async def times_out() -> None:
        raise TimeoutError("its own")

    found = registry(
        a=plugin(theater_host_starting=lambda: 1 / 0),
        b=plugin(theater_host_starting=hangs),
        c=plugin(theater_host_starting=times_out),
        d=plugin(theater_host_starting=lambda: "fine"),
    )
    results = await found.run("theater_host_starting", host="h", namespace="n")
    assert [one.plugin for one in results] == ["a", "b", "c", "d"]
    assert [str(one.exception) for one in results[:3]] == [
        "division by zero",
        "it did not end within 0.05 s",
        "its own",
    ]
    assert results[3].result == "fine"
    assert ended == ["h"]
