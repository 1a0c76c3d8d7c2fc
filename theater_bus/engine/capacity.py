"""How many instances this process can hold before the kernel refuses it another memory map.

Each instance has a memory, and its store keeps the stack of its last fiber. Running into `vm.max_map_count` is not an
error that can be caught: the process dies. So instances are counted, and the cap leaves a fifth of the maps free.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["MAPS_PER_INSTANCE", "instance_cap"]

MAPS_PER_INSTANCE: Final = 3
SHARE: Final = 0.8
_WITHOUT_PROC: Final = 10_000


def instance_cap(proc: Path = Path("/proc")) -> int:
    """The number of instances that fit into 80 % of the kernel's maps; 10,000 where /proc does not tell."""
    try:
        limit = int((proc / "sys/vm/max_map_count").read_text())
        with (proc / "self/maps").open("rb") as maps:
            used = sum(1 for _ in maps)
    except (OSError, ValueError):
        return _WITHOUT_PROC
    return max(1, int(limit * SHARE - used) // MAPS_PER_INSTANCE)
