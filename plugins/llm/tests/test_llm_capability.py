"""The functions of `llm` against a real endpoint: what is asked, what it costs, what is refused before it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from theater_bus.capability import CapabilityError
from theater_bus.errors import ConfigurationError, SpawnRefused
from theater_bus_llm import Llm
from theater_bus_llm.budget import Bounds, Budget, cost_of
from theater_bus_llm.endpoint import Price

Ask = Callable[..., dict[str, Any]]
MODELS = {"models": ["main/tiny", "main/free", "main/unlisted", "other/x"]}


async def test_a_chat_is_asked_as_the_protocol_says_and_its_answer_comes_back(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask
) -> None:
    model = await start_model()
    model.say("ünd you")
    llm = await start_harness(Llm, MODELS, config=operator(model))
    call = {"id": "c1", "name": "f", "arguments": '{"a": 1}'}
    messages = [
        {"role": "system", "content": "be brief", "tool-calls": [], "tool-call-id": None},
        {"role": "assistant", "content": "", "tool-calls": [call], "tool-call-id": None},
        {"role": "tool", "content": "2", "tool-calls": [], "tool-call-id": "c1"},
    ]
    tools = [{"name": "f", "description": "does f", "parameters": '{"type": "object"}'}]
    answer = await llm.call("chat", ask(messages=messages, tools=tools, temperature=0.5, **{"max-tokens": 20}))
    assert answer == {
        "message": {"role": "assistant", "content": "ünd you", "tool-calls": [], "tool-call-id": None},
        "finish-reason": "stop",
        "usage": {"prompt-tokens": 10, "completion-tokens": 5, "cost-micros": 40},
    }
    [body] = model.bodies
    function = {"name": "f", "arguments": '{"a": 1}'}
    assert body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
            {"role": "tool", "content": "2", "tool_call_id": "c1"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "does f", "parameters": {"type": "object"}},
            }
        ],
        "temperature": 0.5,
        "max_tokens": 20,
    }
    [headers] = model.headers
    assert headers["authorization"] == "Bearer sk-pl4nted-endpoint-key"
    assert len(headers["idempotency-key"]) == 64


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_a_streamed_answer_is_the_whole_one_and_its_words_are_parts(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask, pieces: int
) -> None:
    model = await start_model()
    model.pieces = pieces
    model.say("one two three")
    model.call("c1", "length", '{"of": "x"}')
    llm = await start_harness(Llm, MODELS, config=operator(model, limit_field="max_completion_tokens"))
    answer = await llm.call("chat", ask(progress=True))
    assert (answer["message"]["content"], answer["finish-reason"]) == ("one two three", "stop")
    assert answer["usage"] == {"prompt-tokens": 10, "completion-tokens": 5, "cost-micros": 40}
    assert "".join(part["text"] for part in llm.context.parts) == "one two three"
    assert len(llm.context.parts) == pieces
    answer = await llm.call("chat", ask(progress=True))
    assert answer["message"]["tool-calls"] == [{"id": "c1", "name": "length", "arguments": '{"of": "x"}'}]
    assert answer["finish-reason"] == "tool_calls"
    assert (model.bodies[0]["max_completion_tokens"], "max_tokens" in model.bodies[0]) == (4096, False)


@pytest.mark.parametrize("pieces", [1, 2, 5, 40])
async def test_the_key_that_a_model_says_is_hidden_in_however_many_events_it_comes(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask, pieces: int
) -> None:
    model = await start_model()
    model.pieces = pieces
    model.say("my key is sk-pl4nted-endpoint-key, or sk-")
    model.call("c1", "sk-pl4nted-endpoint-key", '{"key": "sk-pl4nted-endpoint-key"}')
    llm = await start_harness(Llm, MODELS, config=operator(model))
    answer = await llm.call("chat", ask(progress=True))
    assert answer["message"]["content"] == "my key is secret:main-key, or sk-"
    assert "".join(part["text"] for part in llm.context.parts) == "my key is secret:main-key, or sk-"
    answer = await llm.call("chat", ask(progress=True))
    hidden = {"id": "c1", "name": "secret:main-key", "arguments": '{"key": "secret:main-key"}'}
    assert answer["message"]["tool-calls"] == [hidden]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"model": "main/large"}, r'models does not hold .* add "main/large" to `models` under \[capabilities\.llm\]'),
        ({"model": "tiny"}, "models does not hold"),
        ({"model": "main/unlisted"}, r"no model 'unlisted' at endpoint 'main'\. Fix: add it to \[capabilities\.llm"),
        ({"model": "other/x"}, "no endpoint 'other'"),
        ({"messages": []}, "no messages"),
        ({"tools": [{"name": "f", "description": "", "parameters": "{"}]}, "'f' are no JSON schema"),
        ({"tools": [{"name": "f", "description": "", "parameters": "[" * 100_000}]}, "'f' are no JSON schema"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": 3.0}, "temperature is 3.0"),
        ({"conversation": "x" * 257}, "at most 256 bytes"),
    ],
)
async def test_what_is_not_granted_or_no_request_is_not_asked(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask, wrong: dict[str, Any], why: str
) -> None:
    model = await start_model()
    llm = await start_harness(Llm, MODELS, config=operator(model))
    with pytest.raises(CapabilityError, match=why):
        await llm.call("chat", ask(**wrong))
    role: dict[str, Any] = {"role": "root", "content": "", "tool-calls": [], "tool-call-id": None}
    with pytest.raises(CapabilityError, match="'root' is no role"):
        await llm.call("chat", ask(messages=[role]))
    assert model.bodies == []
    assert llm.instance.snapshot() is None


async def test_the_models_that_may_be_asked(start_harness: Any, start_model: Any, operator: Any) -> None:
    llm = await start_harness(Llm, MODELS, config=operator(await start_model()))
    assert await llm.call("models") == ["main/free", "main/tiny"]
    bare = await start_harness(Llm, MODELS)
    assert await bare.call("models") == []


async def test_granted_models_without_an_endpoint_are_told_at_the_start(
    start_harness: Any, start_model: Any, operator: Any
) -> None:
    config = operator(await start_model())
    good = await start_harness(Llm, {"models": ["main/tiny"]}, config=config)
    assert good.instance.context.log.records == []
    bad = await start_harness(Llm, {"models": ["main/tiny", "nowhere/tiny", "nowhere/huge"]}, config=config)
    [(level, event, fields)] = bad.instance.context.log.records
    assert (level, event, fields["models"]) == ("warning", "llm.no-endpoint", "nowhere/huge, nowhere/tiny")


async def test_a_conversation_spends_its_tokens_and_no_more_is_asked(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask
) -> None:
    model = await start_model()
    llm = await start_harness(Llm, {**MODELS, "conversation_tokens": 80}, config=operator(model))
    assert await llm.call("left", "c") == {"tokens": 80, "cost-micros": 10_000_000}
    for _ in range(2):
        model.say("x")
        await llm.call("chat", ask())
    assert await llm.call("left", "c") == {"tokens": 50, "cost-micros": 9_999_920}
    assert [body["max_tokens"] for body in model.bodies] == [80 - 18, 65 - 18]
    with pytest.raises(CapabilityError, match=r"conversation_tokens = 80 is used up: 50 tokens are left, the prompt"):
        await llm.call("chat", ask("long " * 100))
    model.say("y")
    await llm.call("chat", ask(conversation="another"))
    assert len(model.bodies) == 3


async def test_an_operation_spends_its_tokens_and_the_next_one_has_its_own(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await start_model()
    llm = await start_harness(Llm, {**MODELS, "operation_tokens": 30}, config=operator(model))
    ends: list[Any] = []
    monkeypatch.setattr(llm.context, "on_operation_end", ends.append)
    model.say("x")
    await llm.call("chat", ask())
    with pytest.raises(CapabilityError, match=r"llm\.operation_tokens = 30 is used up: 15 tokens are left"):
        await llm.call("chat", ask(conversation="another"))
    ends.pop()(False)
    model.say("x")
    await llm.call("chat", ask())
    assert await llm.call("left", "c") == {"tokens": 999_970, "cost-micros": 9_999_920}


@pytest.mark.parametrize("whose", ["operation", "conversation"])
async def test_costs_are_bounded_like_tokens(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    model = await start_model()
    model.say("x")
    grant = f"{whose}_cost_micros"
    llm = await start_harness(Llm, {**MODELS, "conversation_cost_micros": 10_000, grant: 100}, config=operator(model))
    monkeypatch.setattr(llm.context, "on_operation_end", lambda then: None)  # all of it is one operation
    await llm.call("chat", ask())
    assert model.bodies[0]["max_tokens"] == (100 - 2 * 18) // 4
    with pytest.raises(CapabilityError, match=rf"{grant} = 100 is used up: 60 millionths are left"):
        await llm.call("chat", ask("a longer question than before, so that it costs more"))
    model.say("x")
    await llm.call("chat", ask("a longer question than before, so that it costs more", model="main/free"))
    left = await llm.call("left", "c")
    assert left == {"tokens": 999_970, "cost-micros": 60 if whose == "conversation" else 9_960}


async def test_conversations_are_counted_so_that_new_names_are_no_new_budget(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask
) -> None:
    model = await start_model()
    llm = await start_harness(Llm, {**MODELS, "conversations": 2}, config=operator(model))
    for name in ("a", "b"):
        model.say("x")
        await llm.call("chat", ask(conversation=name))
    with pytest.raises(CapabilityError, match=r"llm\.conversations = 2 is used up"):
        await llm.call("chat", ask(conversation="c"))
    model.say("x")
    await llm.call("chat", ask(conversation="a"))


async def test_what_was_spent_survives_and_a_wrong_account_is_refused(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask
) -> None:
    model = await start_model()
    model.say("x")
    llm = await start_harness(Llm, MODELS, config=operator(model))
    await llm.call("chat", ask())
    assert llm.context.snapshots == 1
    again = await start_harness(Llm, MODELS, config=operator(model), snapshot=llm.instance.snapshot())
    assert await again.call("left", "c") == {"tokens": 999_985, "cost-micros": 9_999_960}
    for wrong in (b"", b"[]", b'{"a": 1}', b'{"a": []}', b'{"a": ["x", 1]}'):
        with pytest.raises(ValueError):
            await start_harness(Llm, MODELS, snapshot=wrong)


async def test_without_a_count_a_byte_is_a_token(start_harness: Any, start_model: Any, operator: Any, ask: Ask) -> None:
    model = await start_model()
    model.usage = None
    for progress in (True, False):
        model.say("ünd")
        llm = await start_harness(Llm, MODELS, config=operator(model))
        usage = (await llm.call("chat", ask(progress=progress)))["usage"]
        assert usage["completion-tokens"] == 4
        assert usage["prompt-tokens"] == (128 if progress else 69)


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (lambda: web.json_response({"error": {"message": "slow\n down"}}, status=429), r"answered 429: slow down"),
        (lambda: web.Response(text="<html>", status=502), r"answered 502: <html>"),
        (lambda: web.Response(status=500), r"answered 500: without a reason"),
        (lambda: web.Response(status=302, headers={"Location": "/"}), r"answered 302"),
        (lambda: web.Response(text="no json"), r"no JSON"),
        (lambda: web.Response(text="[" * 100_000), r"no JSON"),
        (lambda: web.json_response([]), r"no chat completion"),
        (lambda: web.json_response({}), r"without a choice"),
        (lambda: web.json_response({"choices": [3]}), r"no chat completion"),
        (lambda: web.json_response({"choices": [{"message": {"tool_calls": [7]}}]}), r"no chat completion"),
        (lambda: web.Response(body=b"x" * 5_000_000), r"more than 4194304 bytes"),
    ],
)
async def test_a_wrong_answer_is_an_err_and_the_next_one_counts(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask, response: Any, why: str
) -> None:
    model = await start_model()
    model.raw(response)
    model.say("fine")
    llm = await start_harness(Llm, MODELS, config=operator(model))
    with pytest.raises(CapabilityError, match=why):
        await llm.call("chat", ask())
    assert (await llm.call("chat", ask()))["message"]["content"] == "fine"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "broke off in the middle"),
        ('data: {"choices": []}\n\n', "broke off in the middle"),
        ('data: {"error": {"message": "overloaded"}}\n\n', "the endpoint broke off: overloaded"),
        ("data: nonsense\n\n", "no JSON"),
        ("data: 7\n\n", "no chat completion"),
        ('data: {"choices": [{"delta": {"tool_calls": [{"index": -1}]}}]}\n\n', "wrong tool call"),
    ],
)
async def test_a_stream_that_breaks_off_is_an_err_never_a_shorter_answer(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask, text: str, why: str
) -> None:
    model = await start_model()
    model.raw(lambda: web.Response(text=text, content_type="text/event-stream"))
    llm = await start_harness(Llm, MODELS, config=operator(model))
    with pytest.raises(CapabilityError, match=why):
        await llm.call("chat", ask(progress=True))


async def test_only_what_an_endpoint_took_is_charged(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask
) -> None:
    model = await start_model()
    llm = await start_harness(Llm, MODELS, config=operator(model))
    with pytest.raises(CapabilityError, match="answered 503: nothing to say"):
        await llm.call("chat", ask())
    assert llm.instance.snapshot() is None
    model.gate = asyncio.Event()
    llm = await start_harness(Llm, {**MODELS, "timeout_ms": 200}, config=operator(model))
    model.say("never heard")
    with pytest.raises(CapabilityError, match=r"llm\.timeout_ms = 200"):
        await llm.call("chat", ask())
    assert (await llm.call("left", "c"))["tokens"] < 1_000_000
    model.gate.set()
    tables = operator(model)
    tables["capabilities"]["llm"]["endpoints"]["main"]["url"] = "http://127.0.0.1:1/v1"
    lost = await start_harness(Llm, MODELS, config=tables)
    with pytest.raises(CapabilityError, match="'main' cannot be reached"):
        await lost.call("chat", ask())
    assert lost.instance.snapshot() is None


async def test_a_call_that_needs_a_person_waits_for_one(
    start_harness: Any, start_model: Any, operator: Any, ask: Ask
) -> None:
    model = await start_model()
    model.say("x")
    llm = await start_harness(Llm, {**MODELS, "unattended": False}, config=operator(model))
    await llm.call("chat", ask("may I?"))
    [what] = llm.context.asked
    assert "ask main/tiny: 1 messages" in what
    assert "the last, of user: may I?" in what

    async def never(_what: str) -> bool:
        return False

    llm.context.approve = never
    with pytest.raises(CapabilityError, match="refused"):
        await llm.call("chat", ask("and now?"))
    assert len(model.bodies) == 1


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ({"url": "ftp://a.com"}, r"endpoints\.main\.url: .*http"),
        ({"url": "https://user:pass@a.com"}, "without user"),
        ({"url": "https://a.com", "key": "sk-pl4nted"}, "must be a handle"),
        ({"url": "http://a.com/v1", "key": "secret:k"}, "unencrypted"),
        ({"url": "https://a.com", "price": 1}, r"endpoints\.main\.price: is no setting"),
        ({"url": "https://a.com", "models": {"m": {"input": -1}}}, "greater than or equal to 0"),
        ({"url": "https://a.com", "models": {"m": {"input": float("inf")}}}, "finite number"),
        ({}, "Field required"),
    ],
)
async def test_an_endpoint_that_makes_no_sense_refuses_the_start_and_shows_no_key(
    start_harness: Any, endpoint: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        await start_harness(Llm, MODELS, config={"capabilities": {"llm": {"endpoints": {"main": endpoint}}}})
    assert "sk-pl4nted" not in str(caught.value)
    assert "user:pass" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"models": "all"}, {"operation_tokens": -1}, {"completion_tokens": 0}, {"unattended": 1}, {"tokens": 3}],
)
async def test_wrong_settings_are_refused(start_harness: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(SpawnRefused, match="llm"):
        await start_harness(Llm, settings)


def test_room_is_what_the_narrowest_bound_leaves() -> None:
    price = Price(input=1.0, output=2.0)
    budget = Budget(Bounds(1000, 500, 2000, 5000, 1))
    assert budget.room("a", 400, price) == (500 - 100) // 2
    assert budget.room("a", 400, Price()) == 900
    budget.charge("a", 100, cost_of(price, 50, 50))
    assert budget.room("a", 400, price) == (500 - 150 - 100) // 2
    budget.operation_ended()
    assert budget.room("a", 400, price) == 200
    assert cost_of(Price(input=0.15, output=0.6), 1, 1) == 1
