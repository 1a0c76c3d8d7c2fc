"""Builds the modules of the C guests; `--check` compares them with the committed ones instead of writing.

The demo carries copies of some, so that it works where there is no checkout; they are made and checked here too.

    python tests/guests/build.py [--check] [NAME…]

The same sources give the same bytes on every machine: the compiler is the pinned `ziglang` wheel, and nothing of the
machine reaches its output.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from theater_bus.errors import TheaterError
from theater_bus.testing.guests import build_guest

HERE = Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "theater_bus" / "cli" / "demo_guests"


def c_guests() -> list[Path]:
    """The sources in C, each in the folder of its name."""
    return sorted(path for path in HERE.glob("*/*.c") if path.stem == path.parent.name)


def main(arguments: list[str]) -> int:
    """Build all guests, or those named. The result is 1 where one does not build or differs."""
    parser = argparse.ArgumentParser(description="Build the C guests.")
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    parser.add_argument("names", nargs="*", help="guests to build; all without one")
    options = parser.parse_args(arguments)
    chosen = [path for path in c_guests() if not options.names or path.stem in options.names]
    unknown = sorted(set(options.names) - {path.stem for path in chosen})
    if unknown:
        parser.error(f"no C guest is called {', '.join(unknown)}")
    status = max([_check(path) if options.check else _write(path) for path in chosen])
    return max(status, _demo(options.check))


def _demo(check: bool) -> int:
    """Copy what the demo carries, or compare it; the result is 1 where it differs."""
    status = 0
    for copy in sorted(DEMO.glob("*.wasm")):
        source = HERE / copy.stem / f"{copy.stem}.wat"
        wasm = build_guest(source) if source.is_file() else source.with_suffix(".wasm").read_bytes()
        if not check:
            copy.write_bytes(wasm)
        elif copy.read_bytes() != wasm:
            print(f"demo: {copy.name} is an old one. Fix: python tests/guests/build.py", file=sys.stderr)
            status = 1
    return status


def _write(source: Path) -> int:
    try:
        wasm = build_guest(source)
    except TheaterError as error:
        print(error, file=sys.stderr)
        return 1
    source.with_suffix(".wasm").write_bytes(wasm)
    print(f"{source.stem}: {len(wasm)} bytes")
    return 0


def _check(source: Path) -> int:
    try:
        wasm = build_guest(source)
    except TheaterError as error:
        print(error, file=sys.stderr)
        return 1
    committed = source.with_suffix(".wasm")
    if committed.is_file() and committed.read_bytes() == wasm:
        print(f"{source.stem}: {len(wasm)} bytes, as committed")
        return 0
    fix = f"python tests/guests/build.py {source.stem}"
    print(f"{source.stem}: {committed.name} is not what {source.name} gives. Fix: {fix}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
