"""Guests for tests: the ones of this project by name, and any other from its source.

    from theater_bus.testing.guests import guest
    counter = guest("counter")            # counter.wasm, counter.manifest_text, counter.pact

`guest` finds the guests of a checkout (`tests/guests`), or those that a distribution carries. A plugin's own guests are
found by the folder that they lie in: `guest("greeter", Path(__file__).parent / "guests")`, where `greeter/` holds a
source (`greeter.wat` or `greeter.c`), `greeter.pact` and the manifest `greeter.toml`. Text in a test does as well:
`build_wat(text, pact)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from theater_bus.core.values.pact import PactFile, parse
from theater_bus.core.values.types import Interface
from theater_bus.engine.building import NOTHING_PROVIDED, assemble, build, read_pact
from theater_bus.errors import ConfigurationError

__all__ = ["Guest", "build_guest", "build_wat", "guest", "guest_names", "guests_folder"]

_SHIPPED = Path(__file__).with_name("guest_files")


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest that is ready to be spawned.

    `wasm` is the module with its metadata, `manifest_text` the TOML manifest beside the source, `pact` what it
    declares. `folder` holds the sources.
    """

    name: str
    wasm: bytes
    manifest_text: str
    pact: PactFile
    folder: Path


def guests_folder() -> Path:
    """Where this project's own guests lie. Raises `ConfigurationError` where a distribution has none."""
    checkout = Path(__file__).resolve().parents[2] / "tests" / "guests"
    for folder in (checkout, _SHIPPED):
        if (folder / "counter").is_dir():
            return folder
    raise ConfigurationError("guests", f"there are none in {checkout} nor in {_SHIPPED}", "work in a checkout")


def guest_names(folder: Path | None = None) -> list[str]:
    """The names that `guest` knows, in order."""
    return sorted(path.parent.name for path in (folder or guests_folder()).glob("*/*.pact") if _is_guest(path))


@lru_cache(maxsize=64)
def guest(name: str, folder: Path | None = None) -> Guest:
    """The guest of that name in `folder`, by default one of this project's own.

    Built from its source once per process; a committed `.wasm` beside C saves the compiler. Raises
    `ConfigurationError` for a name that is not there, with those that are.
    """
    place = (folder or guests_folder()) / name
    if not _is_guest(place / f"{name}.pact"):
        known = ", ".join(guest_names(folder)) or "none"
        raise ConfigurationError("guest", f"there is no guest {name!r} in {place.parent}", f"one of: {known}")
    manifest = place / f"{name}.toml"
    return Guest(
        name,
        _module(place / name),
        manifest.read_text("utf-8") if manifest.is_file() else f'name = "{name}"\npackage = "{name}.wasm"\n',
        read_pact(place / f"{name}.pact"),
        place,
    )


def build_guest(source: Path, provided: Mapping[str, Interface] = NOTHING_PROVIDED) -> bytes:
    """The module of a `.wat`, `.c` or `.wasm` file and the `.pact` beside it, as `theater-bus build` makes it.

    `provided` are interfaces that the pact imports without spelling them out, by full name. C finds `pack.h`,
    this project's library for guests. Raises `ConfigurationError`, `PactSyntaxError`, or `SpawnRefused` for wrong
    WebAssembly text.
    """
    return build(source, provided=provided)


def build_wat(text: str, pact: str | PactFile, provided: Mapping[str, Interface] = NOTHING_PROVIDED) -> bytes:
    """The module of WebAssembly text, with the metadata that `pact` gives (source text, or parsed).

    Raises `PactSyntaxError` for a wrong pact, `SpawnRefused` for wrong WebAssembly text, `ConfigurationError` for a
    module that is no guest.
    """
    return assemble(text, parse(pact) if isinstance(pact, str) else pact, provided)


def _is_guest(pact: Path) -> bool:
    return pact.is_file() and pact.stem == pact.parent.name


def _module(stem: Path) -> bytes:
    """The committed module where the source needs a compiler, else the source assembled."""
    built = stem.with_suffix(".wasm")
    if built.is_file() and stem.with_suffix(".c").is_file():
        return built.read_bytes()
    text = stem.with_suffix(".wat")
    return build_guest(text if text.is_file() else stem.with_suffix(".c"))
