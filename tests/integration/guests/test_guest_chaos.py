"""Every way of misbehaving that the chaos guest offers ends as the engine and the codecs say, and in no other way."""

from __future__ import annotations

from typing import Any

import pytest

from theater_bus.core.values.cgrf import decode
from theater_bus.core.values.codec import function_codec
from theater_bus.core.values.model import ScalarValue
from theater_bus.engine import HostImport, Limits
from theater_bus.errors import SerializationError, TypeMismatch
from theater_bus.testing.guests import guest

CHAOS = guest("chaos")
UNIT = bytes.fromhex("43475246020000000100000000000000" + "0b0000000400000000000000")


class Log:
    """The host's end of `theater:simple/runtime.log`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, argument: bytes) -> bytes:
        line = decode(argument)
        self.lines.append(line.value if isinstance(line, ScalarValue) else line.items[0].value)
        return UNIT


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def start(wasm_of: Any, load: Any, log: Log) -> Any:
    """`await start(cpu_ms=…, memory_bytes=…)`: a chaos guest, as each kind in turn."""
    return starting(wasm_of("chaos"), load, log)


@pytest.fixture
def module(load: Any, log: Log) -> Any:
    """As `start`, of the kind that writes its answers itself."""
    return starting(CHAOS.wasm, load, log)


@pytest.fixture
def component(load: Any, log: Log, twin: Any) -> Any:
    """As `start`, of the kind whose answers the engine reads."""
    return starting(twin("chaos"), load, log)


def starting(wasm: bytes, load: Any, log: Log) -> Any:
    async def start_chaos(cpu_ms: float = 2000, **limits: int) -> Any:
        imports = [HostImport("theater:simple/runtime", "log", log)]
        return await load(wasm, state=0, imports=imports, limits=Limits(**limits), cpu_ms=cpu_ms)

    return start_chaos


async def test_chaos_counts_what_ends_well(start: Any) -> None:
    chaos = await start()
    assert [await chaos.call("touch") for _ in range(3)] == [1, 2, 3]
    assert await chaos.call("count") == 3
    assert await chaos.call("marks") == 0


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("unreachable", "unreachable"),
        ("divide", "integer-divide-by-zero"),
        ("outside", "out-of-bounds"),
        ("null-call", "indirect-call-to-null"),
        ("wrong-call", "indirect-call-type-mismatch"),
        ("recursion", "stack-overflow"),
    ],
)
async def test_a_trap_has_its_name_and_ends_the_instance(start: Any, kind: str, reason: str) -> None:
    chaos = await start()
    result = await chaos.run("trap", kind)
    assert result.failure is not None
    assert result.failure.reason == reason
    assert chaos.instance.closed
    again = await start()
    assert await again.call("marks") == 0, "nothing of the broken instance is seen again"


async def test_spinning_is_ended_by_the_cpu_limit(start: Any) -> None:
    chaos = await start(cpu_ms=30)
    result = await chaos.run("spin")
    assert result.failure is not None
    assert result.failure.reason == "cpu-limit"


async def test_work_takes_time_and_gives_a_number_that_can_be_checked(start: Any) -> None:
    chaos = await start()
    number = 1
    for _ in range(1_000_000):
        number = (number * 6364136223846793005 + 1442695040888963407) & 0xFFFF_FFFF_FFFF_FFFF
    assert await chaos.call("work", 1) == number
    assert (await chaos.run("work", 64)).cpu_ns > 2_000_000


async def test_eight_million_steps_of_a_module_are_measured(module: Any) -> None:
    assert (await (await module()).run("work", 8)).cpu_ns > 2_000_000


@pytest.mark.parametrize(("then", "cpu_ms"), [("trap", 2000), ("spin", 100)])
async def test_eating_memory_is_ended_by_the_memory_limit(module: Any, then: str, cpu_ms: float) -> None:
    chaos = await module(cpu_ms, memory_bytes=4 << 20)
    result = await chaos.run("eat", then)
    assert result.failure is not None
    assert result.failure.reason == "memory-limit"


@pytest.mark.parametrize(("then", "cpu_ms", "reason"), [("trap", 2000, "unreachable"), ("spin", 100, "cpu-limit")])
async def test_a_component_that_eats_memory_ends_as_it_chooses(
    component: Any, then: str, cpu_ms: float, reason: str
) -> None:
    chaos = await component(cpu_ms, memory_bytes=4 << 20)
    result = await chaos.run("eat", then)
    assert result.failure is not None
    assert result.failure.reason == reason, "what its memory grew to is not visible from outside"
    assert chaos.instance.closed


async def test_a_guest_can_say_that_there_is_no_more_memory(start: Any) -> None:
    chaos = await start(memory_bytes=4 << 20)
    assert await chaos.error("eat", "error") == "there is no more memory"
    assert await chaos.call("marks") == 1


async def test_memory_that_is_given_back_is_used_again(start: Any) -> None:
    chaos = await start(memory_bytes=4 << 20)
    sizes = {await chaos.call("allocate", 1 << 20) for _ in range(20)}
    assert len(sizes) == 1
    assert await chaos.error("allocate", 8 << 20) == "out of memory"
    assert await chaos.call("allocate", 0) == sizes.pop()


@pytest.mark.parametrize(
    ("kind", "reason"), [("overflowing", "out-of-bounds"), ("past-end", "out-of-bounds"), ("huge", "result-limit")]
)
async def test_an_answer_outside_of_memory_is_a_failure(module: Any, kind: str, reason: str) -> None:
    chaos = await module()
    result = await chaos.run("garbage", kind)
    assert result.failure is not None
    assert result.failure.reason == reason


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        *((kind, "out-of-bounds") for kind in ("overflowing", "past-end", "huge", "lost-message")),
        *((kind, "invalid-value") for kind in ("noise", "bad-message")),
    ],
)
async def test_an_answer_that_a_component_must_not_give_ends_its_instance(
    component: Any, kind: str, reason: str
) -> None:
    chaos = await component()
    result = await chaos.run("garbage", kind)
    assert result.failure is not None
    assert result.failure.reason == reason, result.failure
    assert chaos.instance.closed
    assert await (await component()).call("touch") == 1


async def test_a_message_outside_of_memory_is_a_failure(start: Any) -> None:
    chaos = await start()
    result = await chaos.run("garbage", "lost-message")
    assert result.failure is not None
    assert result.failure.reason == "out-of-bounds"


@pytest.mark.parametrize("kind", ["untouched", "noise", "cut-short", "cycle", "bomb", "expansion", "deep", "bad-text"])
async def test_an_answer_that_is_no_value_is_refused_and_the_guest_goes_on(module: Any, kind: str) -> None:
    chaos = await module()
    with pytest.raises(SerializationError):
        await chaos.outcome("garbage", kind)
    assert await chaos.call("touch") == 1


async def test_the_input_is_no_answer(module: Any) -> None:
    chaos = await module()
    with pytest.raises(TypeMismatch):
        await chaos.outcome("garbage", "input")


@pytest.mark.parametrize(
    ("kind", "message"), [("bad-message", b"bad \xff\xfe message"), ("odd-status", b"what is here was never a value")]
)
async def test_any_status_but_zero_brings_a_message(module: Any, kind: str, message: bytes) -> None:
    chaos = await module()
    result = await chaos.run("garbage", kind)
    assert result.failure is None
    assert result.status != 0
    assert result.output == message


@pytest.mark.parametrize("kind", ["state", "value", "no-state", "no-result"])
async def test_an_answer_of_another_type_is_refused(module: Any, kind: str) -> None:
    chaos = await module()
    with pytest.raises(TypeMismatch):
        await chaos.outcome("wrong", kind)
    assert await chaos.call("count") == 0


@pytest.mark.parametrize("message", ["no", "", "nein ✗", "x" * 100_000])
async def test_failures_carry_their_message(module: Any, message: str) -> None:
    chaos = await module()
    result = await chaos.run("fail", message)
    assert result.status != 0
    assert result.output == message.encode()
    assert await chaos.call("count") == 0


@pytest.mark.parametrize("message", ["no", "", "nein ✗", "x" * 100_000])
async def test_refusals_carry_their_message(start: Any, message: str) -> None:
    chaos = await start()
    assert await chaos.error("refuse", message) == message
    assert await chaos.call("count") == 0


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20])
async def test_a_big_answer_is_complete(start: Any, size: int) -> None:
    chaos = await start()
    value = await chaos.call("big", size)
    assert value == (bytes(range(256)) * (size // 256 + 1))[:size]


async def test_an_answer_of_five_megabytes_is_complete(start: Any) -> None:
    size = 5 << 20
    assert await (await start()).call("big", size) == bytes(range(256)) * (size // 256)


async def test_an_answer_over_the_limit_is_named(start: Any) -> None:
    chaos = await start(result_bytes=1 << 16)
    result = await chaos.run("big", 1 << 17)
    assert result.failure is not None
    assert result.failure.reason == "result-limit"


async def test_lines_are_logged_through_the_host(start: Any, log: Log) -> None:
    chaos = await start()
    await chaos.call("log", 12, 4)
    assert log.lines == [*(f"...{n}" for n in range(10)), "..10", "..11"]
    await chaos.call("log", 1, 100_000)
    assert log.lines[-1] == "." * 99_999 + "0"


async def test_logging_without_end_is_ended_by_the_cpu_limit(start: Any, log: Log) -> None:
    chaos = await start(cpu_ms=30)
    result = await chaos.run("flood")
    assert result.failure is not None
    assert result.failure.reason == "cpu-limit"
    assert len(log.lines) > 10


async def test_the_compiled_exports_are_those_of_the_pact(start: Any) -> None:
    chaos = await start()
    declared = [f.name for interface in CHAOS.pact.exports for f in interface.functions]
    assert list(chaos.exports) == declared
    assert all(function_codec(one.function, one.stateful).stateful for one in chaos.exports.values())
