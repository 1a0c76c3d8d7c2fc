"""`theater-bus call`: one function of one actor, its parameters as JSON, its result as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from theater_bus.cli.arguments import parameters
from theater_bus.cli.command import define
from theater_bus.cli.invocation import Invocation
from theater_bus.cli.output import json_form

if TYPE_CHECKING:
    from theater_bus.client import CallStream

__all__ = ["command"]


@define(
    "call",
    short_help="Call a function of an actor and print its result.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("actor_id", metavar="ID")
@click.argument("function")
@click.argument("params", nargs=-1, metavar="[JSON]...")
@click.option("--named", metavar="JSON", help="""Parameters by name: '{"by": 5}'.""")
@click.option("--key", help="Idempotency key: the same key again gives the same answer and runs nothing.")
@click.option("--stream", is_flag=True, help="Print the parts that come before the result too, a line each.")
@click.option("--caller", metavar="NAME", help="The name to call under, where NATS permissions are written for it.")
def command(
    invocation: Invocation,
    actor_id: str,
    function: str,
    params: tuple[str, ...],
    named: str | None,
    key: str | None,
    stream: bool,
    caller: str | None,
) -> None:
    """Call FUNCTION of actor ID; each JSON is one parameter.

    A function of an interface is written `interface.function`. Bytes are {"$bytes": "base64"}. A result that is text is
    printed as it is, everything else as JSON.
    """
    given = parameters(params, named)
    invocation.doing = f"call {function} of actor {actor_id!r}"

    async def main() -> None:
        async with invocation.theater(caller) as theater:
            if stream:
                await _stream(
                    invocation,
                    theater.actor(actor_id).stream_function(function, given, timeout=invocation.timeout_s, key=key),
                )
                return
            value = await theater.actor(actor_id).call_function(function, given, timeout=invocation.timeout_s, key=key)
        invocation.out.document(json_form(value), lambda: _text(value))

    invocation.run(main)


async def _stream(invocation: Invocation, stream: CallStream) -> None:
    out = invocation.out
    async with stream:
        async for part in stream:
            out.line({"part": json_form(part)}, lambda part=part: _one_line(part))  # type: ignore[misc]
        value = await stream.result()
    out.line({"value": json_form(value)}, lambda: _text(value))


def _one_line(part: Any) -> str:
    return part if isinstance(part, str) else json.dumps(json_form(part), ensure_ascii=False)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    nested = isinstance(value, dict | list) and any(isinstance(item, dict | list) for item in _items(value))
    return json.dumps(json_form(value), ensure_ascii=False, indent=2 if nested or isinstance(value, dict) else None)


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
