"""How many instances this process can hold before the kernel refuses it another memory map.

Each memory takes two maps (what is in use, what is reserved for growth), and a store keeps the stack of its last fiber
with its guard. Running into `vm.max_map_count` is not an error that can be caught: the process dies. So the maps of
instances are counted, and a fifth of the kernel's limit is left free for everything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["map_budget", "maps_of_component", "maps_of_instance"]

SHARE: Final = 0.8
_STACK_MAPS: Final = 2
_MEMORY_MAPS: Final = 2
_COMPONENT_MEMORY_MAPS: Final = 4
_WITHOUT_PROC: Final = 40_000


def maps_of_instance(memories: int) -> int:
    """The kernel maps that an instance with this many memories takes, after its first call."""
    return _STACK_MAPS + _MEMORY_MAPS * memories


def maps_of_component(memories: int, bridges: int) -> int:
    """The kernel maps of a component's instance: a memory that grew has, besides, the part that is still shared.

    The memory of a bridge begins empty, and shares nothing.
    """
    return _STACK_MAPS + _COMPONENT_MEMORY_MAPS * memories + _MEMORY_MAPS * bridges


def map_budget(proc: Path = Path("/proc")) -> int:
    """The maps that instances may take: 80 % of the limit without those in use; 40,000 where /proc does not tell."""
    try:
        limit = int((proc / "sys/vm/max_map_count").read_text())
        with (proc / "self/maps").open("rb") as maps:
            used = sum(1 for _ in maps)
    except (OSError, ValueError):
        return _WITHOUT_PROC
    return max(0, int(limit * SHARE) - used)
