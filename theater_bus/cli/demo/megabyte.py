"""A real text of more than a megabyte that every Python brings along: its language reference, then its own sources."""

from __future__ import annotations

import sysconfig
from pathlib import Path

__all__ = ["MINIMUM_BYTES", "write_text"]

MINIMUM_BYTES = 1 << 20


def write_text(folder: Path) -> Path:
    """Write the text into a file in `folder` and return its path. The same Python writes the same text."""
    from pydoc_data.topics import topics

    place = folder / "python.txt"
    size = 0
    with place.open("wb") as file:
        for topic in sorted(topics):
            size += file.write(f"{topics[topic]}\n".encode())
        for source in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
            if size >= MINIMUM_BYTES:
                break
            size += file.write(source.read_bytes())
    return place
