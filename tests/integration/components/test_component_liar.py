"""A component that gives what its types do not have is refused as a Pack module is, and its actor goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from theater_bus.capability import Capability
from theater_bus.client import ActorHandle
from theater_bus.core.chain.bodies import Failure
from theater_bus.core.chain.control import FreshInstance, Restarted
from theater_bus.errors import ActorError, TooLarge, TypeMismatch
from theater_bus.testing import RunningHost, running_host


class Ear(Capability):
    """Hears words, and counts them."""

    name = "ear"
    pact = """
        @package: string = "test:ear"
        interface ear { exports { hear: func(words: list<string>) } }
    """
    heard = 0

    def hear(self, words: list[str]) -> None:
        self.heard += len(words)


@pytest_asyncio.fixture
async def host() -> AsyncIterator[RunningHost]:
    async with running_host(Ear) as running:
        yield running


@pytest.fixture(scope="module")
def liar(component_path: Any) -> bytes:
    wasm: Path = component_path("liar-c")
    return wasm.read_bytes()


async def spawned(host: RunningHost, wasm: bytes, **manifest: Any) -> ActorHandle:
    return await host.spawn(wasm, state=0, capabilities={"ear": {}}, **manifest)


async def refusal(actor: ActorHandle, function: str, *params: Any) -> ActorError:
    with pytest.raises(ActorError) as refused:
        await actor.call_function(function, list(params))
    return refused.value


async def test_a_result_or_an_argument_that_is_no_value_breaks_the_contract_and_is_no_crash(
    host: RunningHost, liar: bytes
) -> None:
    actor = await spawned(host, liar, on_failure="stop")
    for function, path, says in (
        ("case", "result", "discriminant 7 out of range"),
        ("text", "result", "invalid utf-8"),
        ("cut", "result", "incomplete utf-8"),
        ("letter", "result", "out of range for `char`"),
        ("askew", "result", "not aligned"),
        ("say-text", "", "the guest called a host function with what is refused: invalid utf-8"),
    ):
        error = await refusal(actor, function)
        assert isinstance(error, TypeMismatch), error
        assert (error.ran, error.details["path"]) == ("rolled-back", path)
        assert says in error.message
        assert "Fix: compare the component's WIT with its code" in error.message
    assert await actor.call_function("count") == 1
    bodies = [event.body async for event in actor.get_chain()]
    assert {(body.code, body.reason) for body in bodies if isinstance(body, Failure)} == {("type-mismatch", None)}
    assert [body for body in bodies if isinstance(body, FreshInstance)] == [FreshInstance("type-mismatch")] * 6
    assert not [body for body in bodies if isinstance(body, Restarted)]
    assert (await host.replay(actor)).is_identical


async def test_more_values_than_are_decoded_are_too_large_as_a_result_and_refused_by_the_host(
    host: RunningHost, liar: bytes
) -> None:
    actor = await spawned(host, liar, on_failure="stop", limits={"decode_nodes": 16})
    assert await actor.call_function("many", [12]) == [""] * 12
    assert await actor.call_function("say-many", [12]) == 12
    error = await refusal(actor, "many", 17)
    assert isinstance(error, TooLarge), error
    assert (error.ran, error.details["limit"]) == ("rolled-back", 16)
    assert "Fix: raise limits.decode_nodes in the manifest" in error.message
    error = await refusal(actor, "say-many", 17)
    assert isinstance(error, TypeMismatch), error
    assert "decode_nodes" in error.message
    assert await actor.call_function("count") == 3
    assert (await host.replay(actor)).is_identical
