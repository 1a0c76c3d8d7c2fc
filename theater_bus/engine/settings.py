"""What an engine, an instance and a call may use. Every bound has a name, and the name is in the error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from theater_bus.errors import ConfigurationError

__all__ = ["Budget", "EngineSettings", "Limits"]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How one process runs guests.

    `slice_ms` is the epoch tick: a guest that used a slice and is not done goes on in one of `promoted_threads`.
    `turn_ms` bounds the guests polled within one turn of the event loop. `kernel_timer` watches them with an alarm of
    the kernel where there is one (Linux); without, a thread wakes up every slice, which costs every operation more.
    `max_instances` None derives the cap from `vm.max_map_count`.
    `cache_dir` None keeps no compiled modules on disk.
    """

    slice_ms: float = 1.0
    turn_ms: float = 2.0
    kernel_timer: bool = True
    promoted_threads: int = 2
    compile_threads: int = 2
    max_instances: int | None = None
    max_module_bytes: int = 64 * 1024 * 1024
    cached_modules: int = 256
    cache_dir: Path | None = None
    cache_max_bytes: int = 2 * 1024 * 1024 * 1024
    cancel_grace_ms: float = 5000.0

    def __post_init__(self) -> None:
        for name in ("slice_ms", "turn_ms", "promoted_threads", "compile_threads", "max_module_bytes"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(name, f"{getattr(self, name)} is not positive", "give a positive number")
        if self.slice_ms < 0.5:
            raise ConfigurationError("slice_ms", f"{self.slice_ms} costs more than it gives", "use at least 0.5")
        if self.max_instances is not None and self.max_instances <= 0:
            raise ConfigurationError(
                "max_instances", f"{self.max_instances} is not positive", "leave it out or raise it"
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may hold: bytes of all its memories together, elements per table, bytes of one result.

    `decode_nodes` bounds the items of lists that a component hands over, numbers and bytes excepted.

    The stack of a guest is 512 KiB deep for all (`stack-overflow`): it is part of the engine's fixed configuration.
    """

    memory_bytes: int = 64 * 1024 * 1024
    table_elements: int = 20_000
    result_bytes: int = 8 * 1024 * 1024
    decode_nodes: int = 20_000

    def __post_init__(self) -> None:
        for name, most in (("memory_bytes", 1 << 32), ("table_elements", 10_000_000), ("result_bytes", 1 << 31)):
            value = getattr(self, name)
            if not 0 < value <= most:
                raise ConfigurationError(name, f"{value} is out of range", f"use 1 to {most}")


@dataclass(frozen=True, slots=True)
class Budget:
    """What one call may use: CPU time of its own polls. Time spent waiting for the host does not count."""

    cpu_ms: float = 1000.0
