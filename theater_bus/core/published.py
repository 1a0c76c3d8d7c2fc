"""What this project publishes as plugins, so that an error can say what to install where none is.

Invariants
* Nothing is bound by this table: it is advice, and a plugin that is installed is asked itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["CAPABILITIES", "INTERFACES", "distribution", "provider"]

INTERFACES: Final[Mapping[str, str]] = {
    "theater:bus/clock": "clock",
    "theater:bus/config": "config",
    "theater:bus/filesystem": "filesystem",
    "theater:bus/http-client": "http-client",
    "theater:bus/kv": "kv",
    "theater:bus/llm": "llm",
    "theater:bus/nats": "nats",
    "theater:bus/process": "process",
    "theater:bus/progress": "progress",
    "theater:bus/random": "random",
    "theater:bus/rpc": "rpc",
    "theater:bus/store": "store",
    "theater:bus/tcp": "tcp",
    "theater:bus/timer": "timer",
    "theater:simple/environment": "environment",
    "theater:simple/filesystem": "filesystem",
    "theater:simple/http-client": "http-client",
    "theater:simple/loop": "loop",
    "theater:simple/message-server-host": "messages",
    "theater:simple/process": "process",
    "theater:simple/rpc": "rpc",
    "theater:simple/runtime": "runtime",
    "theater:simple/store": "store",
    "theater:simple/supervisor": "supervisor",
    "theater:simple/tcp": "tcp",
    "theater:simple/terminal": "terminal",
    "theater:simple/timer": "timer",
    "wisp:assembler/runtime": "assembler",
}
"""Interface → the capability that offers it."""

CAPABILITIES: Final = frozenset(INTERFACES.values()) | {"wasi"}


def distribution(capability: str) -> str | None:
    """The distribution that offers a capability of ours; None for others."""
    return f"theater-bus-{capability}" if capability in CAPABILITIES else None


def provider(interface: str) -> str | None:
    """The capability of ours that offers an interface, whatever version is asked for; None for others."""
    return INTERFACES.get(interface.partition("@")[0])
