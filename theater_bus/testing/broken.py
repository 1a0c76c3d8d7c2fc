"""Modules that a host must refuse or contain, for the tests of whatever loads guests.

    with pytest.raises(SpawnRefused, match="env.memory"):
        await engine.load(broken("fixed-base"))

Most are sources in `tests/guests/broken`; their first line says what is wrong with them. One can be spawned, because
nothing tells before it is called: `lying-types`. `differing-import` is refused where host functions are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from theater_bus.core.values.embed import embed_in_binary
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.package import package_metadata
from theater_bus.engine import wat2wasm
from theater_bus.engine.building import NOTHING_PROVIDED, assemble, read_pact
from theater_bus.errors import ConfigurationError
from theater_bus.testing.guests import guest, guests_folder

__all__ = ["broken", "broken_names"]


def broken_names() -> list[str]:
    """What `broken` knows, in order."""
    return sorted([*_MADE, *(path.stem for path in _folder().glob("*.wat"))])


@lru_cache(maxsize=64)
def broken(name: str) -> bytes:
    """The bytes of that broken module. Raises `ConfigurationError` for a name that is not there."""
    if name in _MADE:
        return _MADE[name]()
    source = _folder() / f"{name}.wat"
    if not source.is_file():
        raise ConfigurationError("broken", f"there is no {name!r}", f"one of: {', '.join(broken_names())}")
    text, pact = source.read_text("utf-8"), source.with_suffix(".pact")
    return assemble(text, read_pact(pact), source=str(source)) if pact.is_file() else wat2wasm(text)


def _folder() -> Path:
    return guests_folder() / "broken"


def _not_wasm() -> bytes:
    return b"#!/bin/sh\necho this is no WebAssembly\n"


def _cut_short() -> bytes:
    wasm = guest("counter").wasm
    return wasm[: len(wasm) // 2]


def _lying_hash() -> bytes:
    """The counter with another hash of its exports than their declarations have."""
    counter = guest("counter")
    metadata = package_metadata(counter.pact, NOTHING_PROVIDED)
    # Metadata holds a hash as four u64 nodes; the first 8 bytes occur once.
    true = interface_hash(counter.pact.exports[0])[:8]
    if metadata.count(true) != 1:
        raise ConfigurationError("broken", "the counter's metadata does not hold its hash", "report this")
    return embed_in_binary(_code_of_counter(), metadata.replace(true, bytes(8)))


def _lying_types() -> bytes:
    """The counter's code with a declaration of other types."""
    return assemble(
        (guest("counter").folder / "counter.wat").read_text("utf-8"), read_pact(_folder() / "lying-types.pact")
    )


def _code_of_counter() -> bytes:
    return wat2wasm((guest("counter").folder / "counter.wat").read_text("utf-8"))


_MADE: Final[Mapping[str, Callable[[], bytes]]] = {
    "cut-short": _cut_short,
    "empty": bytes,
    "lying-hash": _lying_hash,
    "lying-types": _lying_types,
    "not-wasm": _not_wasm,
}
