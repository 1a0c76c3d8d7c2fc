"""A desk that calls others through `rpc`, and calculators that it calls, whose own code is in Python."""

from __future__ import annotations

from itertools import count
from typing import Any, ClassVar

import pytest

from theater_bus.capability import Capability, CapabilityError
from theater_bus.testing import relay_guest
from theater_bus.testing.fixtures import start_harness, start_host, theater_server
from theater_bus_rpc import Rpc

__all__ = ["CALCULATOR", "Calculator", "Desk", "start_harness", "start_host", "theater_server"]

CALCULATOR = "my:math/calculator"
_names = count(1)

DESK = """
interface rpc {
    @package: string = "theater:simple"
    exports {
        call: func(actor-id: string, function: string, params: value, options: value) -> value
        implements: func(actor-id: string, interface: string) -> value
        exports: func(actor-id: string) -> value
        theater:bus/rpc {
            bind: func(interface: string, actor-id: string) -> result<_, string>
            unbind: func(interface: string) -> result<_, string>
            is-bound: func(interface: string) -> bool
            bound-to: func(interface: string) -> option<string>
        }
        my:math/calculator {
            add: func(a: s32, b: s32) -> s32
            divide: func(a: s32, b: s32) -> result<s32, string>
            negate: func(a: s32) -> result<s32, string>
            last: func() -> s32
        }
    }
}
"""
INTERFACE = """
interface calculator {
    @package: string = "my:math"
    exports {
        add: func(a: s32, b: s32) -> s32
        divide: func(state: s32, a: s32, b: s32) -> result<tuple<s32, s32>, string>
        negate: func(state: s32, a: s32) -> result<tuple<s32, s32>, string>
        last: func() -> s32
    }
}
"""


class Desk(Rpc):
    """What the desk's guest imports; the host offers the real plugin and nothing of the calculator."""

    pact = DESK

    def add(self, a: int, b: int) -> int:
        raise AssertionError("the host does not know this class")

    def divide(self, a: int, b: int) -> int:
        return self.add(a, b)

    def negate(self, a: int) -> int:
        return self.add(a, a)

    def last(self) -> int:
        return self.add(0, 0)


class Nothing(Capability):
    """For guests that do nothing beside their handlers."""

    name = "nothing"
    pact = '@package: string = "test:nothing"\ninterface nothing {\nexports {\nnothing: func()\n}\n}'

    def nothing(self) -> None: ...


class Calculator(Capability):
    """The calculator's own code."""

    name = "calculator"
    pact = INTERFACE
    busy: ClassVar[Any] = None

    def add(self, a: int, b: int) -> int:
        return a + b

    def divide(self, state: int, a: int, b: int) -> list[int]:
        if b == 0:
            raise CapabilityError("division by zero")
        return [a // b, a // b]

    def negate(self, state: int, a: int) -> list[int]:
        return [-a, -a]

    def last(self) -> int:
        return 7


@pytest.fixture(params=[1, 2], ids=["one-host", "two-hosts"])
async def place(start_host: Any, request: Any) -> Any:
    """`spawn(kind, id, **rpc)`: calculators on the first host, desks on the last."""
    namespace = f"rpc-{next(_names)}"
    hosts = [
        await start_host(Nothing, Calculator, installed=["rpc"], namespace=namespace, host_id=f"host-{n}")
        for n in range(request.param)
    ]
    return Place(hosts[0], hosts[-1])


class Place:
    """Where the actors of a test are."""

    def __init__(self, first: Any, last: Any) -> None:
        self.first, self.last = first, last

    async def calculator(self, id: str, cls: type[Capability] = Calculator, **options: Any) -> Any:
        """An actor that calculates."""
        package = relay_guest(Nothing, handlers=cls)
        capabilities: dict[str, Any] = {"nothing": {}, "calculator": {}}
        return await self.first.spawn(package, id=id, state=0, capabilities=capabilities, **options)

    async def desk(self, id: str = "desk", **settings: Any) -> Any:
        """An actor that may call everybody, unless the settings say otherwise."""
        given: dict[str, Any] = {"calls": [">"], "imports": [CALCULATOR], **settings}
        return await self.last.spawn(relay_guest(Desk), id=id, capabilities={"rpc": given})
