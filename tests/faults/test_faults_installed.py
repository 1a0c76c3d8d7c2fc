"""Whatever a guest passes to whatever is installed, it gets an answer: every function of every capability, with grants.

The hostile values have the right types, and then the wrong ones: bytes that no encoder writes. Each operation ends by
itself, says what was wrong without telling of the host, and costs the bystander on the same host nothing.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import Dynamic, ListOf, Scalar, TupleOf
from theater_bus.errors import (
    ActorError,
    ActorNotFound,
    ChannelClosed,
    GuestError,
    HandlerError,
    OperationTimeout,
    ShuttingDown,
    TooLarge,
    TypeMismatch,
)
from theater_bus.host.host import Host
from theater_bus.plugins import CapabilityType, PluginRegistry
from theater_bus.testing.guests import build_wat
from theater_bus.testing.relay import relay_guest
from theater_bus.testing.running import Relay
from theater_bus.testing.suite.samples import hostile_calls, in_wit, ordinary

from .conftest import OFTEN, Scene

INSTALLED = {name: one for name, one in PluginRegistry.discover().capabilities.items() if one.functions}
"""Those with functions of their own; what is made for components alone has none that a module could call."""
PLUGINS = sorted({one.plugin for one in INSTALLED.values()})
CALL_MS = 150
GONE = (ActorNotFound, ShuttingDown, ChannelClosed)
ANSWERS = (GuestError, TypeMismatch, TooLarge, OperationTimeout)
"""What a call may end with beside a value: an `err`, a refusal of the arguments, its deadline."""

Grants = Callable[[Path], dict[str, Any]]
GRANTED: dict[str, Grants] = {
    "clock": lambda _: {"sleep_max_ms": 5},
    "config": lambda _: {"values": ["a"], "secrets": ["a@127.0.0.1"], "reveal": True},
    "environment": lambda _: {"vars": ["PATH", "a"], "list": True},
    "filesystem": lambda folder: {"read": [str(folder)], "write": [str(folder)]},
    "http-client": lambda _: {"hosts": ["127.0.0.1", "localhost"], "methods": ["GET", "POST"], "timeout_ms": 100},
    "kv": lambda _: {"buckets": ["a"], "write": [">"]},
    "llm": lambda _: {"models": ["a/a"]},
    "messages": lambda _: {"to": [">"], "timeout_ms": 100},
    "nats": lambda _: {"publish": [">"], "subscribe": [">"], "consumers": ["a/a"], "timeout_ms": 100},
    "process": lambda folder: {"programs": ["/bin/true"], "folders": [str(folder)]},
    "store": lambda _: {"read": ["a"], "write": ["a"]},
    "tcp": lambda _: {
        "connect": ["127.0.0.1:*", "localhost:*"],
        "listen": ["127.0.0.1:*"],
        "connect_ms": 100,
        "handshake_ms": 100,
    },
    "terminal": lambda _: {"input": True, "raw": True},
}
"""What each is granted, so that hostile values come past the grants and nothing of the machine is in reach."""

TEXTS = [
    *[
        "",
        " ",
        "\0",
        "a\0b",
        "\r\nX: y",
        "x" * 10_000,
        "💥" * 1000,
        "\u202e\u200b",
        "\ufeff",
        "\x1b]0;t\x07",
        "%s%n{}{0}",
    ],
    *[
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "/",
        ".",
        "~",
        "a/../../b",
        "/a/",
        "//a//",
        "a/",
        "..\\..\\x",
        "file:///x",
    ],
    *["*", ">", "*.>", "a.*", ".", "a..b", "$JS.API.>", "$SYS.>", "_INBOX.a", "_R_.a", "theater.default.ops.a.b"],
    *[
        "localhost",
        "127.0.0.1:1",
        "localhost:1",
        "0x7f.1:80",
        "http://127.0.0.1:1/",
        "http://169.254.169.254/",
        "[::1]:1",
    ],
    *[
        "secret:a",
        "sha256:" + "0" * 64,
        "0" * 64,
        "-1",
        "1e999",
        "NaN",
        "true",
        "null",
        "-rf",
        "$(id)",
        "`id`",
        "'; --",
    ],
]

JSON_TEXTS = [
    *("", "{", "NaN", "1e999", "[" * 100_000, '{"a":' * 500, '"\\ud800"', '{"a":1,"a":2}', "\ufeff1", "1" * 5000),
    *('{"$bytes": "!"}', '{"$float": "x"}', "[[]" + ",[]" * 30_000 + "]", f'"{"x" * (2 << 20)}"'),
]
"""What is no JSON, or none that is read."""


def is_clean(text: str) -> bool:
    """Whether an error tells nothing of the host, and no more than a person reads."""
    return len(text) < 3000 and not any(word in text for word in ("Traceback", ".py", "site-packages", "object at 0x"))


def calls(type_: CapabilityType) -> list[tuple[str, list[Any]]]:
    """Every function with hostile values, one at a time, and all of its texts at once."""
    found: list[tuple[str, list[Any]]] = []
    for function in type_.functions.values():
        declaration = function.declaration
        found += [(function.name, args) for args in hostile_calls(declaration)]
        texts = [place for place, param in enumerate(declaration.params) if param.type is Scalar.STRING]
        for text in TEXTS if texts else ():
            args = [text if place in texts else ordinary(param.type) for place, param in enumerate(declaration.params)]
            found.append((function.name, args))
    return found


def calls_of_components(type_: CapabilityType) -> list[tuple[str, list[Any]]]:
    """The same as a component makes them, and hostile JSON where a function takes any value."""
    found: list[tuple[str, list[Any]]] = []
    functions = {function.name: function.declaration for function in type_.functions.values()}
    for name, args in calls(type_):
        found.append((name, in_wit(functions[name], args)))
    for name, declaration in functions.items():
        usual = in_wit(declaration, [ordinary(param.type) for param in declaration.params])
        for place, param in enumerate(declaration.params):
            for text in JSON_TEXTS if isinstance(param.type, Dynamic) else ():
                found.append((name, [*usual[:place], text, *usual[place + 1 :]]))
    return found


class Victim:
    """An actor with one capability, which is started again whenever that capability ends it."""

    def __init__(self, scene: Scene, host: Host, wasm: bytes, capability: str, folder: Path) -> None:
        self.scene, self.host, self.wasm, self.capability = scene, host, wasm, capability
        grants = GRANTED.get(capability)
        self.table = {capability: {} if grants is None else grants(folder)}
        self._count = 0
        self.id = ""

    async def spawn(self) -> None:
        """Start it, under another name than before."""
        self._count += 1
        self.id = f"{self.capability}-{self._count}"
        await self.scene.spawn(self.host, self.id, f'name = "v"\n{OFTEN}{_toml(self.table)}', self.wasm)

    async def call(self, function: str, *args: Any) -> tuple[ActorError | None, str]:
        """What the call ended with, None for an answer; and what it says: the error, or the `err` within the answer."""
        try:
            value = await self.scene.call(self.id, function, *args, timeout_ms=CALL_MS)
        except GONE:
            await self.spawn()
        except ActorError as error:
            return error, str(error)
        else:
            # A relaying guest answers with the `result` itself, in a list where the function has parameters.
            answer = value[0] if isinstance(value, list) and len(value) == 1 else value
            if isinstance(answer, dict) and answer.keys() == {"err"}:
                return None, f"err: {answer['err']}"
        return None, ""


def _toml(tables: dict[str, dict[str, Any]]) -> str:
    lines: list[str] = []
    for name, settings in tables.items():
        lines.append(f"[capabilities.{name}]")
        for key, value in settings.items():
            shown = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
            lines.append(f"{key} = {shown}")
    return "\n".join(lines) + "\n"


async def everything(scene: Scene) -> Host:
    """A host with all that is installed."""
    return await scene.host(installed=PLUGINS)


@pytest.mark.parametrize("name", sorted(INSTALLED))
async def test_hostile_values_get_an_answer_and_cost_nobody_anything(
    scene: Scene, relay: Relay, kind: str, name: str, tmp_path: Path
) -> None:
    type_, host = INSTALLED[name], await everything(scene)
    fallible = {function.name for function in type_.functions.values() if function.fallible}
    victim = Victim(scene, host, await asyncio.to_thread(relay, type_.cls), name, tmp_path)
    await victim.spawn()
    late, answered = dict[str, int](), 0
    async with scene.bystander(host):
        for function, args in calls(type_) if kind == "module" else calls_of_components(type_):
            if late.get(function, 0) > 3:
                continue  # it waits, as it should; and every time for as long as the call may take
            error, said = await victim.call(function, *args)
            shown = f"{function}({', '.join(repr(arg)[:60] for arg in args)}): {error!r} {said}"[:600]
            late[function] = late.get(function, 0) + isinstance(error, OperationTimeout)
            assert (
                error is None
                or isinstance(error, ANSWERS)
                or (isinstance(error, HandlerError) and function not in fallible)
            ), shown
            assert is_clean(said), shown
            answered += error is None
    assert answered
    assert not any(tmp_path.parent.glob("passwd"))


# -- wrong types -------------------------------------------------------------------------------------------------------


def poking_guest(type_: CapabilityType) -> bytes:
    """A guest with an export `poke-N` for each function, which passes on the bytes that it gets, whatever they are."""
    functions = list(type_.functions.values())
    imports = "\n".join(
        f'(import "{f.interface}" "{f.name}" (func $host{n} (param i32 i32 i32 i32) (result i32)))'
        for n, f in enumerate(functions)
    )
    exports = "\n".join(
        f"""(func (export "poke-{n}") (param $in i32) (param $size i32) (param $out i32) (param $sizes i32) (result i32)
          (drop (call $host{n} (i32.add (local.get $in) (i32.const 29))
                (i32.sub (i32.load offset=20 (local.get $in)) (i32.const 5)) (i32.const 64) (i32.const 68)))
          (i32.store (local.get $out) (i32.const 128))
          (i32.store (local.get $sizes) (i32.const 25))
          (i32.const 0))"""
        for n in range(len(functions))
    )
    text = f"""(module {imports}
      (memory (export "memory") 64)
      (global $top (mut i32) (i32.const 4096))
      (data (i32.const 128) "CGRF\\02\\00\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00\\0c\\00\\00\\00\\01\\00\\00\\00\\07")
      (func (export "__pack_alloc") (param $size i32) (result i32) (local $at i32)
        (local.set $at (global.get $top))
        (global.set $top (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
        (local.get $at))
      (func (export "__pack_free") (param i32 i32)
        (global.set $top (i32.const 4096)))
      {exports})"""
    wanted = "\n".join(interface.name for interface in type_.interfaces)
    shown = "\n".join(f"poke-{n}: func(data: list<u8>) -> u8" for n in range(len(functions)))
    provided = {interface.name: interface for interface in type_.interfaces}
    return build_wat(text, parse(f"imports {{ {wanted} }}\nexports {{ {shown} }}", "poke.pact"), provided)


def junk() -> list[bytes]:
    """No argument of anything, or of something else."""
    ten = TupleOf((Scalar.STRING,) * 10)
    values = [
        value_codec(type_).encode(value).standalone()
        for type_, value in [
            (TupleOf(()), []),
            (Scalar.U64, 1 << 63),
            (Scalar.BOOL, True),
            (Scalar.F64, float("nan")),
            (Scalar.STRING, "a"),
            (ListOf(Scalar.STRING), ["a"] * 1000),
            (ListOf(ListOf(Scalar.U8)), [b"a"]),
            (TupleOf((Scalar.STRING, TupleOf((Scalar.STRING, Scalar.BOOL)))), ["a", ["b", False]]),
            (ten, ["x"] * 10),
        ]
    ]
    whole = values[-1]
    header = struct.Struct("<4sBBHII")
    return [
        *values,
        *[b"", b"\0", b"CGRF", whole[:16], whole[:-1], whole + b"\0", whole[:40] + b"\xff" * 8 + whole[48:]],
        *[
            header.pack(b"CGRF", 3, 0, 0, 1, 0),
            header.pack(b"CGRF", 2, 0, 0, 0xFFFFFFFF, 0),
            header.pack(b"XXXX", 2, 0, 0, 1, 0),
        ],
        header.pack(b"CGRF", 2, 0, 0, 1, 9) + struct.pack("<II", 0x0B, 4) + struct.pack("<I", 0),
        header.pack(b"CGRF", 2, 0, 0, 1, 0) + struct.pack("<IIII", 0x0B, 8, 1, 0),  # a tuple that holds itself
        os.urandom(500),
    ]


@pytest.mark.parametrize("name", sorted(INSTALLED))
async def test_wrong_types_are_the_guest_s_fault_and_cost_nobody_anything(
    scene: Scene, name: str, tmp_path: Path
) -> None:
    type_, host = INSTALLED[name], await everything(scene)
    victim = Victim(scene, host, await asyncio.to_thread(poking_guest, type_), name, tmp_path)
    await victim.spawn()
    functions = list(type_.functions.values())
    async with scene.bystander(host):
        for number, function in enumerate(functions):
            refused = 0
            for data in junk():
                error, said = await victim.call(f"poke-{number}", data)
                shown = f"{function.name}({data[:60]!r}): {error!r}"[:600]
                is_excused = isinstance(error, HandlerError) and not function.fallible
                assert error is None or isinstance(error, ANSWERS) or is_excused, shown
                assert is_clean(said), shown
                refused += isinstance(error, TypeMismatch)
            assert refused >= 12, function.name


# -- what is left ------------------------------------------------------------------------------------------------------


async def test_when_all_have_ended_nothing_of_them_is_left(scene: Scene, tmp_path: Path) -> None:
    """Tasks, descriptors and subscriptions of every capability, used with ordinary values, end with its actor."""
    host = await everything(scene)
    victims = [
        Victim(scene, host, await asyncio.to_thread(relay_guest, type_.cls), name, tmp_path)
        for name, type_ in INSTALLED.items()
    ]

    async def use() -> None:
        for victim, type_ in zip(victims, INSTALLED.values(), strict=True):
            await victim.spawn()
            for function in type_.functions.values():
                await victim.call(function.name, *(ordinary(param.type) for param in function.declaration.params))
        for actor in list(host.actors.values()):
            await scene.control(actor.identity.id, "terminate")
            await host.stopped(actor)

    def held() -> tuple[int, int]:
        gone = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
        return len(gone), len(os.listdir("/proc/self/fd"))

    await use()  # what all of them share is made by now
    before = held()
    subscriptions = await scene.subscriptions()
    await use()
    async with asyncio.timeout(20):
        while any(now > was for now, was in zip(held(), before, strict=True)):
            await asyncio.sleep(0.05)
    await scene.settles_at(subscriptions)
