"""The sections of a manifest, each setting with its default, its rule and what it is for.

Invariants: instances are immutable and hold only values that their rules accept; no section of a manifest that was
read grants more than what was written, and `cut` only ever lowers a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeVar

from theater_bus.core.mailbox import Bounds
from theater_bus.core.setting import RULE, Choice, Switch, Whole, setting
from theater_bus.errors import ConfigurationError

__all__ = ["PAGE_BYTES", "SECTIONS", "ChainSettings", "Cut", "HostLimits", "Limits", "cut", "cuts"]

MIB: Final = 1024 * 1024
PAGE_BYTES: Final = 65_536
"""A page of WebAssembly memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`: what one actor may use. The host's own maxima cut every one of them."""

    memory_bytes: int = field(
        default=64 * MIB,
        metadata=setting(
            Whole(PAGE_BYTES, 1 << 32),
            "guest memory, a multiple of 65,536 (a page). `memory_pages` may be given instead. A component's bytes "
            "pass bridges, which may each have as much again: a `list<u8>` may be a third of it",
        ),
    )
    table_elements: int = field(
        default=20_000, metadata=setting(Whole(1, 10_000_000), "elements of each WebAssembly table")
    )
    cpu_ms: int = field(
        default=5_000,
        metadata=setting(
            Whole(1, 3_600_000), "CPU time of one operation; waiting for the host does not count. Over it: `cpu-limit`"
        ),
    )
    host_calls: int = field(default=10_000, metadata=setting(Whole(0, 1 << 32), "host calls of one operation"))
    record_bytes: int = field(
        default=16 * MIB,
        metadata=setting(Whole(1024, 1 << 32), "bytes that one operation may record. Over it: `record-limit`"),
    )
    result_bytes: int = field(
        default=8 * MIB,
        metadata=setting(Whole(64, 1 << 31), "bytes that a guest may return: new state and value together"),
    )
    decode_nodes: int = field(
        default=20_000,
        metadata=setting(Whole(16, 100_000_000), "nodes of a value that are decoded; more are `too-large`"),
    )
    timeout_ms: int = field(
        default=30_000,
        metadata=setting(Whole(1, 86_400_000), "budget of an operation that states none; queueing counts"),
    )
    init_timeout_ms: int = field(default=60_000, metadata=setting(Whole(1, 86_400_000), "budget of `init` at spawn"))

    @property
    def memory_pages(self) -> int:
        """The guest memory in pages of 64 KiB."""
        return self.memory_bytes // PAGE_BYTES

    @property
    def cpu_ns(self) -> int:
        """The CPU time of one operation in nanoseconds."""
        return self.cpu_ms * 1_000_000

    @property
    def timeout_s(self) -> float:
        """The default budget of an operation in seconds."""
        return self.timeout_ms / 1000

    @property
    def init_timeout_s(self) -> float:
        """The budget of `init` in seconds."""
        return self.init_timeout_ms / 1000

    def cut(self, host: HostLimits) -> Limits:
        """These limits, none above the host's."""
        return cut(self, host, "limits")


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """`[chain]`: how long what the actor did is kept, and who hears of it."""

    durability: str = field(
        default="memory",
        metadata=setting(
            Choice(("memory", "file"), unoffered=("sync",)),
            "`memory`: a ring in the host, gone with it; `file`: a log in the host's data directory. `sync` "
            "(JetStream, answers leave after the acknowledgement) is a reserved word, which hosts refuse",
        ),
    )
    publish: bool | None = field(
        default=None,
        metadata=setting(
            Switch(),
            "publish every segment to `theater.<ns>.events.<id>` without a watcher asking; without it the host's "
            "mode decides. Not with `sync`, where the stream republishes by itself",
        ),
    )
    keep_events: int = field(
        default=100_000, metadata=setting(Whole(1, 1 << 32), "events that the ring of `memory` keeps, at most")
    )
    keep_bytes: int = field(
        default=16 * MIB, metadata=setting(Whole(1024, 1 << 40), "bytes that the ring of `memory` keeps, at most")
    )
    inline_max: int = field(
        default=65_536,
        metadata=setting(
            Whole(256, 262_144), "bytes up to which a payload stays in its event; longer ones are kept by digest"
        ),
    )

    def publishes(self, otherwise: bool) -> bool:
        """Whether segments are published without a watcher; `otherwise` is the host's own default."""
        return otherwise if self.publish is None else self.publish

    def cut(self, host: HostLimits) -> ChainSettings:
        """These settings with a ring no larger than the host's maxima."""
        return cut(self, host, "chain")


@dataclass(frozen=True, slots=True)
class HostLimits:
    """The most that a host gives to one actor, whatever its manifest asks for. Names are those of the manifest.

    `memory_bytes` is rounded down to whole pages. Raises `ConfigurationError` for a maximum below what a manifest may
    ask for at least: with it no actor could run.
    """

    memory_bytes: int = 1 << 30
    table_elements: int = 1_000_000
    cpu_ms: int = 60_000
    host_calls: int = 1_000_000
    record_bytes: int = 256 * MIB
    result_bytes: int = 256 * MIB
    decode_nodes: int = 5_000_000
    timeout_ms: int = 3_600_000
    init_timeout_ms: int = 600_000
    mailbox_operations: int = 65_536
    mailbox_bytes: int = 256 * MIB
    mailbox_enqueues: int = 4_096
    mailbox_enqueue_bytes: int = 256 * MIB
    chain_keep_events: int = 10_000_000
    chain_keep_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        for name, section in SECTIONS.items():
            for one in fields(section):
                setting_name = _prefix(name) + one.name
                most, rule = getattr(self, setting_name, None), one.metadata[RULE]
                if most is not None and most < rule.minimum:
                    raise ConfigurationError(setting_name, f"{most} is too little", f"give {rule.minimum} or more")
        object.__setattr__(self, "memory_bytes", self.memory_bytes // PAGE_BYTES * PAGE_BYTES)


SECTIONS: Final[Mapping[str, type[Limits] | type[Bounds] | type[ChainSettings]]] = {
    "limits": Limits,
    "mailbox": Bounds,
    "chain": ChainSettings,
}
"""The tables of a manifest whose settings are fixed."""

S = TypeVar("S", Limits, Bounds, ChainSettings)


@dataclass(frozen=True, slots=True)
class Cut:
    """A number that the host gives less of than a manifest asks for."""

    setting: str
    asked: int
    allowed: int


def cuts(section: Limits | Bounds | ChainSettings, host: HostLimits, name: str) -> list[Cut]:
    """What the host's maxima take from the section `name`; empty where nothing is."""
    if isinstance(section, ChainSettings) and section.durability != "memory":
        return []  # what the host bounds is the ring, which only `memory` has
    found = ((one.name, getattr(host, _prefix(name) + one.name, None)) for one in fields(section))
    return [
        Cut(f"{name}.{field_name}", getattr(section, field_name), most)
        for field_name, most in found
        if most is not None and getattr(section, field_name) > most
    ]


def cut(section: S, host: HostLimits, name: str) -> S:
    """The section `name` with every number at most the host's."""
    lower: dict[str, Any] = {one.setting.partition(".")[2]: one.allowed for one in cuts(section, host, name)}
    return replace(section, **lower) if lower else section


def _prefix(name: str) -> str:
    return "" if name == "limits" else f"{name}_"
