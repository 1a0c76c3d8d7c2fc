"""A component's imports are bound to other actors as a Pack module's are."""

from __future__ import annotations

from typing import Any

from theater_bus.capability import Capability, plain_value
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.codec_wit import loose_codec
from theater_bus.core.values.types import Scalar, TupleOf
from theater_bus.plugins import compile_capability
from theater_bus.testing import relay_guest
from theater_bus.testing.components import component_around
from theater_bus_rpc import Rpc

from .conftest import Nothing

ECHO = "my:bytes/echo"
MODULE = """(module
  (import "my:bytes/echo" "turn" (func $turn (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $top (mut i32) (i32.const 8192))
  (func (export "__pack_alloc") (param $size i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (local.get $at) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))
    (local.get $at))
  (func (export "__pack_free") (param i32 i32))
  (func (export "go") (param i32 i32 i32 i32) (result i32)
    (call $turn (local.get 0) (local.get 1) (local.get 2) (local.get 3))))
"""


class Echo(Capability):
    """The other actor's own code."""

    name = "echo"
    pact = """
interface echo {
    @package: string = "my:bytes"
    exports {
        turn: func(data: list<u8>) -> list<u8>
    }
}
"""

    def turn(self, data: bytes) -> bytes:
        return data[::-1]


async def test_an_import_of_a_component_is_bound(start_host: Any) -> None:
    host = await start_host(Nothing, Echo, installed=["rpc"])
    await host.spawn(relay_guest(Nothing, handlers=Echo), id="echo", capabilities={"nothing": {}, "echo": {}})
    package = component_around(MODULE, ["go"], ECHO, "turn")
    settings = {"rpc": {"calls": ["echo.>"], "imports": [ECHO]}}
    actor = await host.spawn(package, id="c", capabilities=settings)
    rpc = host.host.actors["c"].capabilities["rpc"]
    assert list(rpc.context.imported(ECHO)) == ["turn"]
    assert await rpc._theirs("echo", ECHO) == rpc.context.imported(ECHO)
    rpc._set(ECHO, "echo")
    assert await actor.call_function("go", [b"abc"]) == b"cba"
    assert await actor.call_function("go", [b""]) == b""


async def test_what_a_component_passes_to_a_function_is_typed_by_that(start_harness: Any) -> None:
    seen: list[Any] = []

    async def divide(actor: str, function: str, params: list[Any]) -> Any:
        seen.append((actor, function, params))
        return 3

    rpc = await start_harness(Rpc, {"calls": [">"]})
    rpc.context.actors = divide
    function = compile_capability("rpc", Rpc).functions["theater:simple/rpc", "call"].for_components()
    codec = loose_codec(function.declaration)
    texts = ["calc", "divide", "[7,2]", '{"timeout-ms":50}']
    data = value_codec(TupleOf((Scalar.STRING,) * 4)).encode(texts).standalone()
    answer = await rpc.instance.call(*codec.decode_args(data))
    assert plain_value(answer) == {"ok": 3}
    assert plain_value(codec.encode_result(answer)) == '{"ok":3}'
    assert seen == [("calc", "divide", [7, 2])]
