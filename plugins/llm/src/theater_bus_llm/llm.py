"""`theater:bus/llm`: chat completions within models, budgets and, where it is wished, a person's approval.

Invariants: nothing is sent before model and budgets allow it, and nothing before a person does where `unattended` is
false; a call that an endpoint took is charged, whatever becomes of it; the endpoint's key stays in the host.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Annotated, Any

from pydantic import Field

from theater_bus import ActorError
from theater_bus.capability import FLAG, NUMBER, STRINGS, Capability, CapabilityError, Context, Secret
from theater_bus.capability import Settings as BaseSettings
from theater_bus_llm.budget import Bounds, Budget, cost_of
from theater_bus_llm.endpoint import Endpoint, EndpointClient, HostSettings, NotAsked, Price
from theater_bus_llm.protocol import Completion, body_of, completion_of

__all__ = ["Llm"]

Amount = Annotated[int, NUMBER, Field(strict=True, ge=0, le=1 << 52)]


class Llm(Capability):
    """Language models."""

    name = "llm"
    pact = "llm.pact"
    outlives_exit = True
    HostSettings = HostSettings
    settings: Settings

    class Settings(BaseSettings):
        """`[capabilities.llm]`: models by ENDPOINT/MODEL, budgets, and whether calls go out unattended."""

        models: Annotated[tuple[str, ...], STRINGS] = ()
        operation_tokens: Amount = 100_000
        operation_cost_micros: Amount = 1_000_000
        conversation_tokens: Amount = 1_000_000
        conversation_cost_micros: Amount = 10_000_000
        conversations: Annotated[int, NUMBER, Field(strict=True, ge=0, le=10_000)] = 64
        completion_tokens: Annotated[int, NUMBER, Field(strict=True, ge=1, le=1 << 32)] = 4096
        request_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=16 << 20)] = 1 << 20
        timeout_ms: Annotated[int, NUMBER, Field(strict=True, ge=1, le=3_600_000)] = 60_000
        unattended: Annotated[bool, FLAG, Field(strict=True)] = True

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        granted = self.settings
        self._budget = Budget(
            Bounds(
                granted.operation_tokens,
                granted.operation_cost_micros,
                granted.conversation_tokens,
                granted.conversation_cost_micros,
                granted.conversations,
            )
        )
        self._client = EndpointClient(context)

    async def start(self) -> None:
        """Tell the operator which granted models no endpoint offers: the actor goes on without them."""
        missing = sorted(set(self.settings.models).difference(self.models()))
        if missing:
            fix = "add them to [capabilities.llm.endpoints] in the host's configuration"
            self.context.log.warning("llm.no-endpoint", models=", ".join(missing)[:500], fix=fix)

    async def stop(self) -> None:
        """End every connection."""
        await self._client.close()

    def snapshot(self) -> bytes | None:
        """What conversations have spent."""
        return self._budget.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Go on with what conversations have spent."""
        self._budget.restore(snapshot)

    def recorded(self, function: str, args: list[Any], result: Any) -> None:
        """Charge what a call has cost that the snapshot does not know."""
        if function == "chat" and "ok" in result:
            usage = result["ok"]["usage"]
            tokens = usage["prompt-tokens"] + usage["completion-tokens"]
            self._budget.charge(args[0]["conversation"], tokens, usage["cost-micros"])
            self._budget.operation_ended()

    async def chat(self, request: dict[str, Any]) -> dict[str, Any]:
        """The model's next turn."""
        name, endpoint, model, price = self._model(request["model"])
        body = body_of(request, model)
        size = len(json.dumps(body, ensure_ascii=False).encode())
        if size > self.settings.request_bytes:
            raise CapabilityError(
                f"the request has {size} bytes, more than the granted llm.request_bytes = "
                f"{self.settings.request_bytes}. Fix: send less, or write `request_bytes = {size}` under "
                "[capabilities.llm]"
            )
        most = min(self._budget.room(request["conversation"], size, price), self.settings.completion_tokens)
        body[endpoint.limit_field] = most if request["max-tokens"] is None else max(1, min(most, request["max-tokens"]))
        if not self.settings.unattended:
            await self.context.approval(_described(request, body[endpoint.limit_field], size))
        self.context.on_operation_end(lambda _took_effect: self._budget.operation_ended())
        key = await self._client.key_of(endpoint)
        completion = Completion(() if key is None else (key,))
        is_spent = True
        try:
            await self._in_time(self._ask(name, endpoint, key, body, completion))
        except NotAsked:
            is_spent = False
            raise
        finally:
            cost = self._charge(request["conversation"], completion, size, price) if is_spent else 0
        return completion_of(completion, cost)

    def models(self) -> list[str]:
        """The models that may be asked: granted, and behind an endpoint of this host."""
        found = []
        for model in self.settings.models:
            with suppress(CapabilityError):
                self._model(model)
                found.append(model)
        return sorted(found)

    def left(self, conversation: str) -> dict[str, int]:
        """What is left for a conversation."""
        left = self._budget.left(conversation)
        return {"tokens": left.tokens, "cost-micros": left.cost_micros}

    def _model(self, text: str) -> tuple[str, Endpoint, str, Price]:
        if text not in self.settings.models:
            raise CapabilityError(
                f'the grant llm.models does not hold {text!r:.200}. Fix: add "{text:.200}" to `models` under '
                "[capabilities.llm] in the actor's manifest; its parent and the host must allow as much"
            )
        name, _, model = text.partition("/")
        endpoint = self.context.configuration.own.endpoints.get(name)
        price = None if endpoint is None else endpoint.price(model)
        if endpoint is None or price is None:
            what = f"endpoint {name!r}" if endpoint is None else f"model {model!r} at endpoint {name!r}"
            raise CapabilityError(
                f"this host has no {what}. Fix: add it to [capabilities.llm.endpoints] in the host's configuration"
            )
        return name, endpoint, model, price

    async def _ask(
        self, name: str, endpoint: Endpoint, key: Secret | None, body: Mapping[str, Any], completion: Completion
    ) -> None:
        if "stream" not in body:
            completion.take_whole(await self._client.ask(name, endpoint, key, body))
            return
        async with aclosing(self._client.stream(name, endpoint, key, body)) as events:
            async for event in events:
                self._show(completion.add(event))
        self._show(completion.rest())

    def _show(self, words: str) -> None:
        if words:
            with suppress(ActorError):  # too large for a message; the answer has it all the same
                self.context.emit_part({"text": words})

    async def _in_time(self, work: Any) -> None:
        try:
            async with asyncio.timeout(self.settings.timeout_ms / 1000):
                await work
        except TimeoutError:
            raise CapabilityError(
                f"no answer within the granted llm.timeout_ms = {self.settings.timeout_ms}. "
                "Fix: write a larger `timeout_ms` under [capabilities.llm], or ask for fewer tokens"
            ) from None

    def _charge(self, conversation: str, completion: Completion, prompt_bytes: int, price: Price) -> int:
        """Charge what the endpoint counted; a byte is a token where it did not say, which no tokenizer exceeds."""
        if completion.prompt_tokens is None:
            completion.prompt_tokens, completion.completion_tokens = prompt_bytes, completion.size_bytes
        cost = cost_of(price, completion.prompt_tokens, completion.completion_tokens)
        self._budget.charge(conversation, completion.prompt_tokens + completion.completion_tokens, cost)
        self.context.snapshot_changed()
        return cost


def _described(request: Mapping[str, Any], most: int, size: int) -> str:
    """What a person reads who decides."""
    last = request["messages"][-1]
    return (
        f"ask {request['model']}: {len(request['messages'])} messages, {size} bytes, answer up to {most} tokens; "
        f"the last, of {last['role']}: {last['content'][:300]}"
    )
