"""From a guest's source and its pact to a module that says what it imports and exports.

A guest is WebAssembly text (`.wat`), C (`.c`, through the `ziglang` package), or what another compiler left (`.wasm`).
The metadata comes from its pact alone; code and pact are matched when the module is spawned.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final

from theater_bus.core.values.embed import c_header, embed_in_binary
from theater_bus.core.values.package import package_metadata
from theater_bus.core.values.pact import PactFile, parse
from theater_bus.core.values.types import Interface
from theater_bus.engine.inspection import wat2wasm
from theater_bus.errors import ConfigurationError

__all__ = ["NOTHING_PROVIDED", "assemble", "build", "compile_c", "header", "read_pact"]

NOTHING_PROVIDED: Final[Mapping[str, Interface]] = MappingProxyType({})

_COMPILE: Final = (
    "cc",
    "-c",
    "-target",
    "wasm32-freestanding",
    "-mcpu=generic+bulk_memory",
    "-std=c11",
    "-Os",
    "-g0",
    "-ffreestanding",
    "-fno-sanitize=undefined",
    "-Wall",
    "-Wextra",
    "-Werror",
)
# The stack comes first, so that running over it traps instead of writing into data; 64 KiB of it keep the fixed
# addresses free at which Theater itself writes results.
_LINK: Final = ("wasm-ld", "--no-entry", "--strip-all", "--stack-first", "-z", "stack-size=65536")
# Where `pack.h` lies in a distribution, and in a checkout.
_LIBRARIES: Final = (
    Path(__file__).with_name("include"),
    Path(__file__).resolve().parents[2] / "tests" / "guests" / "c",
)
_ZIG_SECONDS: Final = 300.0


def build(
    source: Path,
    pact: Path | None = None,
    provided: Mapping[str, Interface] = NOTHING_PROVIDED,
    include: Sequence[Path] = (),
) -> bytes:
    """The module built from a `.wat`, `.c` or `.wasm` file, with the metadata that its pact file gives.

    `pact` is by default the file of the same name that ends in `.pact`. `provided` are the interfaces whose functions
    the pact may import without spelling them out, by full name. `include` are the folders where C headers are looked
    for, besides the source's own and that of `pack.h`. The same files give the same bytes. Raises `ConfigurationError`
    for what cannot be read or compiled, `PactSyntaxError` for a wrong pact, `SpawnRefused` for wrong WebAssembly text.
    """
    declared = read_pact(pact or source.with_suffix(".pact"))
    if source.suffix == ".wat":
        return assemble(_text(source), declared, provided, str(source))
    if source.suffix == ".c":
        wasm = compile_c(source, include)
    elif source.suffix == ".wasm":
        wasm = _bytes(source)
    else:
        raise ConfigurationError(
            str(source), f"{source.suffix or 'a name without ending'} is no source of a guest", "give .wat, .c or .wasm"
        )
    return embed_in_binary(wasm, package_metadata(declared, provided), str(source))


def assemble(
    text: str, pact: PactFile, provided: Mapping[str, Interface] = NOTHING_PROVIDED, source: str = "module"
) -> bytes:
    """The module of WebAssembly text, with the metadata that `pact` gives. Raises as `build` does."""
    return embed_in_binary(wat2wasm(text), package_metadata(pact, provided), source)


def header(pact: Path, provided: Mapping[str, Interface] = NOTHING_PROVIDED) -> str:
    """A C header with the metadata of a pact file, for guests that another tool chain builds; include it once.

    Raises `ConfigurationError` for a file that cannot be read, `PactSyntaxError` for a wrong one.
    """
    return c_header(package_metadata(read_pact(pact), provided), pact.name)


def read_pact(path: Path) -> PactFile:
    """Parse a pact file. Raises `ConfigurationError` where there is none, `PactSyntaxError` for a wrong one."""
    return parse(_text(path), path.name)


def compile_c(source: Path, include: Sequence[Path] = ()) -> bytes:
    """The module that a C file compiles to, without metadata.

    Needs the `ziglang` package, a C compiler that installs like any other. Raises `ConfigurationError` with what the
    compiler says.
    """
    if find_spec("ziglang") is None:
        raise ConfigurationError(str(source), "there is no C compiler for guests", "pip install ziglang")
    if not source.is_file():
        raise ConfigurationError(str(source), "there is no such file", "give the path of a C file")
    folders = [f"-I{one.resolve()}" for one in (*include, *_LIBRARIES) if one.is_dir()]
    with TemporaryDirectory(prefix="theater-bus-build-") as folder:
        compiled, linked = Path(folder, "guest.o"), Path(folder, "guest.wasm")
        # The source goes by its bare name, so that no path of this machine can reach the output.
        _zig(source, [*_COMPILE, *folders, "-o", str(compiled), source.name])
        _zig(source, [*_LINK, "-o", str(linked), str(compiled)])
        return linked.read_bytes()


def _zig(source: Path, arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "ziglang", *arguments]
    try:
        done = subprocess.run(
            command, cwd=source.parent, capture_output=True, text=True, timeout=_ZIG_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(str(source), f"compiling took more than {_ZIG_SECONDS:g} s") from None
    if done.returncode != 0:
        raise ConfigurationError(str(source), f"it does not compile:\n{done.stderr.strip()}")


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"it is not UTF-8 text: {error}", "save it as UTF-8") from None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(str(path), f"it cannot be read: {error.strerror}", "check the path") from None
