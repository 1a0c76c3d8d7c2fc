"""Chat completions in the form that OpenAI-compatible endpoints speak: requests from plain values, answers to them.

Source: OpenAI API reference, "Create chat completion". What an endpoint leaves out is empty; what it gets wrong is an
error that says so, never a crash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from theater_bus.capability import CapabilityError, Secret, SecretMask, hide_secrets

__all__ = ["Completion", "body_of", "completion_of"]

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
TOOL_CALLS: Final = 128


@dataclass(slots=True)
class _ToolCall:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Completion:
    """A model's turn, whole or growing. `prompt_tokens` is None until the endpoint has said what it counted.

    The values of `secrets` are hidden in what it shows, also where they came in several events.
    """

    secrets: tuple[Secret, ...] = ()
    mask: SecretMask = field(init=False)
    content: str = ""
    tool_calls: dict[int, _ToolCall] = field(default_factory=dict)
    finish_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int = 0

    def __post_init__(self) -> None:
        """Nothing is held back yet."""
        self.mask = SecretMask(self.secrets)

    def add(self, event: Any) -> str:
        """Take in an event of a streamed answer; gives the words that may be shown now. Raises `CapabilityError`."""
        self._take_usage(event)
        choices = event.get("choices") if isinstance(event, Mapping) else None
        if not choices:
            return ""
        choice = _map(choices[0] if isinstance(choices, Sequence) else None)
        delta = _map(choice.get("delta") or {})
        self.finish_reason = str(choice.get("finish_reason") or self.finish_reason)
        for one in delta.get("tool_calls") or ():
            self._take_call(_map(one))
        text = str(delta.get("content") or "")
        self.content += text
        return self.mask.feed(text.encode()).decode()

    def rest(self) -> str:
        """The words that were held back until the end."""
        return self.mask.flush().decode()

    def take_whole(self, answer: Any) -> None:
        """Take in an answer that came at once. Raises `CapabilityError`."""
        self._take_usage(answer)
        choices = _map(answer).get("choices")
        if not isinstance(choices, Sequence) or not choices:
            raise CapabilityError("the endpoint answered without a choice")
        choice = _map(choices[0])
        message = _map(choice.get("message"))
        self.content = str(message.get("content") or "")
        self.finish_reason = str(choice.get("finish_reason") or "")
        for index, one in enumerate(message.get("tool_calls") or ()):
            self._take_call({**_map(one), "index": index})

    @property
    def size_bytes(self) -> int:
        """The bytes of what the model wrote."""
        calls = sum(len(one.name.encode()) + len(one.arguments.encode()) for one in self.tool_calls.values())
        return len(self.content.encode()) + calls

    def message(self) -> dict[str, Any]:
        """The turn as a plain value of the pact's `message`."""
        hidden = self._hidden
        calls = [self.tool_calls[index] for index in sorted(self.tool_calls)]
        return {
            "role": "assistant",
            "content": hidden(self.content),
            "tool-calls": [
                {"id": hidden(one.id), "name": hidden(one.name), "arguments": hidden(one.arguments)} for one in calls
            ],
            "tool-call-id": None,
        }

    def _hidden(self, text: str) -> str:
        return hide_secrets(text.encode(), self.secrets).decode()

    def _take_usage(self, answer: Any) -> None:
        found = _map(answer)
        if found.get("error"):
            error = found["error"]
            said = error.get("message") if isinstance(error, Mapping) else error
            raise CapabilityError(f"the endpoint broke off: {str(said)[:300]}")
        usage = found.get("usage")
        if isinstance(usage, Mapping):
            prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if _is_count(prompt) and _is_count(completion):
                self.prompt_tokens, self.completion_tokens = prompt, completion

    def _take_call(self, one: Mapping[str, Any]) -> None:
        index = one.get("index", 0)
        if not _is_count(index) or (index not in self.tool_calls and len(self.tool_calls) >= TOOL_CALLS):
            raise CapabilityError(f"the endpoint answered with a wrong tool call, or with more than {TOOL_CALLS}")
        call = self.tool_calls.setdefault(index, _ToolCall())
        function = _map(one.get("function") or {})
        call.id = str(one.get("id") or call.id)
        call.name += str(function.get("name") or "")
        call.arguments += str(function.get("arguments") or "")


def completion_of(completion: Completion, cost_micros: int) -> dict[str, Any]:
    """A plain value of the pact's `completion`."""
    return {
        "message": completion.message(),
        "finish-reason": completion.finish_reason,
        "usage": {
            "prompt-tokens": completion.prompt_tokens or 0,
            "completion-tokens": completion.completion_tokens,
            "cost-micros": cost_micros,
        },
    }


def body_of(request: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The request's body without its limit of tokens. Raises `CapabilityError` for what no endpoint would take."""
    if not request["messages"]:
        raise CapabilityError("there are no messages. Fix: send one at least")
    body: dict[str, Any] = {"model": model, "messages": [_message(one) for one in request["messages"]]}
    if request["tools"]:
        body["tools"] = [_tool(one) for one in request["tools"]]
    temperature = request["temperature"]
    if temperature is not None:
        if not 0.0 <= temperature <= 2.0:
            raise CapabilityError(f"temperature is {temperature}. Fix: 0 to 2, or none")
        body["temperature"] = temperature
    if request["progress"]:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _message(given: Mapping[str, Any]) -> dict[str, Any]:
    if given["role"] not in ROLES:
        raise CapabilityError(f"{given['role']!r:.80} is no role. Fix: one of {', '.join(ROLES)}")
    message: dict[str, Any] = {"role": given["role"], "content": given["content"]}
    if given["tool-calls"]:
        message["content"] = given["content"] or None
        message["tool_calls"] = [
            {"id": one["id"], "type": "function", "function": {"name": one["name"], "arguments": one["arguments"]}}
            for one in given["tool-calls"]
        ]
    if given["tool-call-id"] is not None:
        message["tool_call_id"] = given["tool-call-id"]
    return message


def _tool(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        schema = json.loads(given["parameters"])
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise CapabilityError(f"the parameters of tool {given['name']!r:.80} are no JSON schema")
    function = {"name": given["name"], "description": given["description"], "parameters": schema}
    return {"type": "function", "function": function}


def _map(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise CapabilityError("the endpoint answered with what is no chat completion")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53
