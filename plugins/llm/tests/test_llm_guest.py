"""An agent on a real host, with a real endpoint: tools, streaming, approval, secrets, replay without the model."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from theater_bus.core.chain import bodies
from theater_bus.core.chain.archive import read_archive
from theater_bus.core.manifest.reading import from_mapping
from theater_bus.core.values.hashing import interface_hash, subset_hash
from theater_bus.errors import ActorError, GuestError
from theater_bus.host.checkpoint import Checkpoints
from theater_bus.host.replay import Verdict, replay
from theater_bus.host.spawning import SpawnRequest
from theater_bus.plugins import compile_capability
from theater_bus.telemetry import Telemetry, TraceCollector
from theater_bus.testing import RunningHost, build_guest, guest, running_host
from theater_bus_llm import Llm
from theater_bus_llm.endpoint import Endpoint, Price

HERE = Path(__file__).parent
GUEST = guest("agent", HERE / "guests")
PAGE = HERE.parents[2] / "docs" / "reference" / "capabilities" / "llm.md"
TYPE = compile_capability("llm", Llm)
PLANTED = "sk-pl4nted-endpoint-key"

Operator = Callable[..., dict[str, Any]]


def test_the_page_has_what_the_operator_says_of_an_endpoint() -> None:
    page = PAGE.read_text("utf-8")
    settings = set(re.findall(r"^\| `([a-z_]+)` \|", page, re.M))
    assert settings == {*Llm.Settings.model_fields, *Endpoint.model_fields, *Price.model_fields}


def test_the_guest_imports_what_the_plugin_offers() -> None:
    [imported] = GUEST.pact.imports
    assert imported.declared is not None
    [offered] = TYPE.interfaces
    assert interface_hash(imported.declared) == subset_hash(offered, ["chat"])


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(GUEST.folder / "agent.c") == GUEST.wasm


async def test_an_agent_does_what_the_model_wants_and_answers(
    start_host: Any, start_model: Any, operator: Operator
) -> None:
    model = await start_model()
    model.call("c1", "length", '{"of": "four"}')
    model.say("It has 14 characters.")
    host = await start_host(installed=["llm"], config=operator(model))
    actor = await host.spawn(GUEST)
    assert await actor.call_function("ask", ["how long?"]) == "It has 14 characters."
    assert await actor.get_state() == {"model": "main/tiny", "turns": 2, "answer": "It has 14 characters."}
    function = {"name": "length", "arguments": '{"of": "four"}'}
    assert model.bodies[1]["messages"] == [
        {"role": "user", "content": "how long?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "content": "14", "tool_call_id": "c1"},
    ]
    assert model.bodies[1]["tools"][0]["function"]["name"] == "length"
    keys = [headers["idempotency-key"] for headers in model.headers]
    assert len(set(keys)) == 2


async def test_the_caller_hears_the_words_as_they_come(start_host: Any, start_model: Any, operator: Operator) -> None:
    model = await start_model()
    model.gate = asyncio.Event()
    model.say("word by word")
    host = await start_host(installed=["llm"], config=operator(model))
    actor = await host.spawn(GUEST)
    async with actor.stream_function("ask", ["say it"]) as stream:
        first = await anext(stream)
        model.gate.set()
        rest = [part async for part in stream]
        assert "".join(part["text"] for part in [first, *rest]) == await stream.result() == "word by word"
    assert len(rest) == 2


async def test_a_person_decides_before_anything_is_sent(start_host: Any, start_model: Any, operator: Operator) -> None:
    model = await start_model()
    model.say("granted")
    host = await start_host(installed=["llm"], config=operator(model), grants={"llm": {"unattended": False}})
    actor = await host.spawn(GUEST)

    async def waiting() -> Any:
        async with asyncio.timeout(10):
            while not (found := (await actor.get_status()).approvals):
                continue
            return found[0]

    call = asyncio.create_task(actor.call_function("ask", ["may I?"]))
    one = await waiting()
    assert one.function == "theater:bus/llm.chat"
    assert "ask main/tiny: 1 messages" in one.what
    assert "may I?" in one.what
    assert model.bodies == []
    assert await actor.approve(one.id) == "granted"
    assert await call == "granted"
    call = asyncio.create_task(actor.call_function("ask", ["again?"]))
    assert await actor.approve((await waiting()).id, refuse=True, note="enough") == "refused"
    with pytest.raises(GuestError, match=r"an operator refused theater:bus/llm\.chat: enough"):
        await call
    assert len(model.bodies) == 1


async def test_an_agents_run_replays_from_one_file_without_the_model_and_notices_another_agent(
    start_model: Any, operator: Operator, theater_server: Any, tmp_path: Path
) -> None:
    model = await start_model()
    model.call("c1", "length", '{"of": "four"}')
    model.say("It has 14 characters." + " And more." * 10_000)
    options: dict[str, Any] = {"installed": ["llm"], "namespace": "recorded", "config": operator(model)}
    async with running_host(server=theater_server, **options) as host:
        actor = await host.spawn(GUEST)
        async with actor.stream_function("ask", ["how long?"]) as stream:
            await stream.result()
        with pytest.raises(GuestError, match="nothing to say"):
            await actor.call_function("ask", ["and now?"])
        done = await actor.get_chain().export(tmp_path / "run.chain", package=GUEST.wasm)
    assert done.missing == ()
    data = (tmp_path / "run.chain").read_bytes()
    assert PLANTED.encode() not in data
    asked = len(model.bodies)
    file = read_archive(data)
    report = await replay(file.segments, file.object)
    assert (report.verdict, report.operations) == (Verdict.IDENTICAL, 2), str(report)
    report = await replay(file.segments, file.object, package=build_other_agent())
    assert report.verdict is Verdict.DIVERGED, str(report)
    assert len(model.bodies) == asked


def build_other_agent() -> bytes:
    """An agent that describes its tool in other words: what it asks the model differs."""
    wasm = GUEST.wasm
    assert wasm.count(b"How many characters the arguments have") == 1
    return wasm.replace(b"How many characters the arguments have", b"How many characters the arguments HAVE")


async def test_the_endpoints_key_is_found_at_the_endpoint_and_nowhere_else(
    start_host: Any,
    start_model: Any,
    operator: Operator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    model = await start_model()
    collector = TraceCollector()
    provider = collector.provider("host")
    telemetry = Telemetry(tracer_provider=provider)
    host = await start_host(installed=["llm"], telemetry=telemetry, data_dir=tmp_path / "data", config=operator(model))
    actor = await host.spawn(GUEST, chain={"durability": "file"})
    model.pieces = 1
    model.say(f"your key is {PLANTED}")
    seen: list[Any] = [await actor.call_function("ask", ["what is my key?"]), await actor.get_state()]
    assert seen[0] == "your key is secret:main-key"
    model.raw(lambda: web.json_response({"error": {"message": f"Incorrect API key provided: {PLANTED}"}}, status=401))
    with pytest.raises(GuestError) as caught:
        await actor.call_function("ask", ["and now?"])
    assert "Incorrect API key provided: secret:main-key" in str(caught.value)
    seen += [caught.value, caught.value.details, await actor.get_status(), host.host.settings]
    seen += await actor.get_chain().all()
    await actor.shutdown()
    await telemetry.flush()
    provider.shutdown()
    assert [headers["authorization"] for headers in model.headers] == [f"Bearer {PLANTED}"] * 2
    spans = [span.to_json() for span in collector.spans()]
    assert any("theater:bus/llm/chat" in span for span in spans)
    kept = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert any(b"your key is secret:main-key" in data for data in kept)
    assert all(PLANTED.encode() not in data for data in kept)
    assert PLANTED not in "\n".join([caplog.text, *spans, *map(repr, seen), *map(str, seen)])


async def test_what_conversations_have_spent_comes_back_with_a_file_actor(
    start_model: Any, operator: Operator, tmp_path: Path, theater_server: Any
) -> None:
    model = await start_model()
    options: dict[str, Any] = {
        "installed": ["llm"],
        "data_dir": tmp_path,
        "namespace": "spent",
        "config": operator(model),
    }
    async with running_host(server=theater_server, **options) as host:
        actor = await host.spawn(GUEST, id="a", chain={"durability": "file"})
        model.say("x")
        await actor.call_function("ask", ["one"])
    async with running_host(server=theater_server, **options) as host:
        model.say("y")
        assert await host.theater.actor("a").call_function("ask", ["two"]) == "y"
        capability: Any = host.host.actors["a"].capabilities["llm"]
        assert capability.left("main")["tokens"] == 1_000_000 - 2 * 15


def left_of(host: RunningHost) -> Any:
    """What is left for the conversation."""
    capability: Any = host.host.actors["a"].capabilities["llm"]
    return capability.left("main")


async def test_what_no_checkpoint_knows_is_charged_after_a_crash_and_an_end_is_no_new_budget(
    start_model: Any, operator: Operator, tmp_path: Path, theater_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "wanted", lambda self: None)
    model = await start_model()
    first, crashed = tmp_path / "first", tmp_path / "crashed"
    options: dict[str, Any] = {"installed": ["llm"], "namespace": "crashed", "config": operator(model)}
    async with running_host(server=theater_server, data_dir=first, **options) as host:
        actor = await host.spawn(GUEST, id="a", chain={"durability": "file"})
        for word in ("x", "y"):
            model.say(word)
            await actor.call_function("ask", [word])
        left = left_of(host)
        assert left["tokens"] == 1_000_000 - 2 * 15
        shutil.copytree(first, crashed)
    async with running_host(server=theater_server, data_dir=crashed, **options) as host:
        assert left_of(host) == left
        await host.theater.actor("a").shutdown(wait=True)
        tables = tomllib.loads(GUEST.manifest_text) | {"chain": {"durability": "file"}}
        tables.pop("package", None)
        await host.host.spawn(SpawnRequest(from_mapping(tables, "the test's"), GUEST.wasm, "a", begin="continue"))
        assert left_of(host) == left


async def test_a_host_that_grants_less_names_the_grant_and_every_chat_is_recorded(
    start_host: Any, start_model: Any, operator: Operator
) -> None:
    model = await start_model()
    host = await start_host(installed=["llm"], config=operator(model), grants={"llm": {"operation_tokens": 50}})
    actor = await host.spawn(GUEST)
    with pytest.raises(GuestError, match=r"llm\.operation_tokens = 50 is used up"):
        await actor.call_function("ask", ["how long?"])
    strict = await start_host(installed=["llm"], config=operator(model), grants={"llm": {"models": []}})
    actor = await strict.spawn(GUEST)
    with pytest.raises(GuestError, match=r"llm\.models does not hold 'main/tiny'"):
        await actor.call_function("ask", ["how long?"])
    assert model.bodies == []
    calls = [event.body for event in await actor.get_chain().all() if isinstance(event.body, bodies.HostCall)]
    assert [(call.interface, call.function) for call in calls] == [("theater:bus/llm", "chat")]


async def test_wrong_arguments_end_the_operation_and_not_the_actor(
    start_host: Any, start_model: Any, operator: Operator
) -> None:
    model = await start_model()
    host = await start_host(installed=["llm"], config=operator(model))
    actor = await host.spawn(Llm, capabilities={"llm": {"models": ["main/tiny"]}})
    wrongs: list[list[Any]] = [[7], [None], [{"model": "main/tiny"}], [[]]]
    for wrong in wrongs:
        with pytest.raises(ActorError):
            await actor.call_function("chat", wrong)
    assert await actor.call_function("models") == ["main/tiny"]
    assert await actor.call_function("left", ["c"]) == {"tokens": 1_000_000, "cost-micros": 10_000_000}
