"""Protocols become actors: what may be bound, how arguments travel, and what is refused before a call."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine
from typing import Any, Protocol, cast

import pytest

from theater_bus.client.actor import ActorHandle
from theater_bus.client.sugar import Calls, bind, methods_of
from theater_bus.errors import ConfigurationError


class Recorded:
    """Stands where a handle does and notes what it is asked to call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []

    async def call_function(self, name: str, params: Any, **options: Any) -> Any:
        self.calls.append((name, params, options))
        return name


class Reader(Protocol):
    async def get(self) -> int: ...


class Cart(Reader, Protocol):
    version: int

    async def add(self, item: str, count: int = 1, *, gift: bool = False) -> int:
        """Put something in."""
        ...

    async def _private(self) -> None: ...


class Blocking(Protocol):
    def get(self) -> int: ...


def handle() -> tuple[Recorded, ActorHandle]:
    recorded = Recorded()
    return recorded, cast("ActorHandle", recorded)


async def test_a_protocols_arguments_travel_by_position_with_its_defaults() -> None:
    recorded, actor = handle()
    cart = bind(actor, Cart, "acme:shop/cart", 3.0)
    assert await cart.add("tea") == "acme:shop/cart.add"  # type: ignore[comparison-overlap]
    await cart.add(count=2, item="milk")
    await cart.get()
    assert [(name, params) for name, params, _ in recorded.calls] == [
        ("acme:shop/cart.add", ["tea", 1]),
        ("acme:shop/cart.add", ["milk", 2]),
        ("acme:shop/cart.get", []),
    ]
    assert recorded.calls[0][2] == {"timeout": 3.0, "keyed": None}
    assert cart.add.__doc__ == "Put something in."
    assert "Cart of" in repr(cart)


async def test_arguments_that_the_protocol_does_not_take_are_a_type_error() -> None:
    recorded, actor = handle()
    cart = bind(actor, Cart, None, 3.0)
    with pytest.raises(TypeError, match="item"):
        await cart.add()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="too many"):
        await cart.add("tea", 1, False)  # type: ignore[call-arg]
    for name in ("remove", "_private", "version"):
        with pytest.raises(AttributeError):
            getattr(cart, name)
    assert recorded.calls == []


def test_with_a_runner_the_methods_are_plain_ones() -> None:
    recorded, actor = handle()

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(coroutine)

    assert bind(actor, Blocking, None, 3.0, run=run).get() == "get"  # type: ignore[comparison-overlap]
    assert recorded.calls[0][:2] == ("get", [])


@pytest.mark.parametrize("wrong", [Recorded, 5, lambda: None])
def test_what_is_no_protocol_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="Protocol"):
        methods_of(wrong)


def test_a_method_of_the_wrong_kind_is_named() -> None:
    _, actor = handle()
    with pytest.raises(ConfigurationError, match=r"Blocking\.get.*async def"):
        bind(actor, Blocking, None, 3.0)
    with pytest.raises(ConfigurationError, match=r"Cart\.get.*`def`"):
        bind(actor, Cart, None, 3.0, run=asyncio.run)


async def test_names_of_python_itself_are_no_functions() -> None:
    _, actor = handle()
    calls = Calls(actor)
    with pytest.raises(AttributeError):
        calls.__wrapped__  # noqa: B018
    assert isinstance(copy.copy(calls), Calls)
    assert calls.increment.__name__ == "increment"
