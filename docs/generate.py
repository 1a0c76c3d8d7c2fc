"""Writes everything that is generated from the code: reference pages, vectors, the dashboard, the alerts.

Runs every script in docs/generators, each in a process of its own; `make docs` is this.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def scripts() -> list[Path]:
    """Every generator, in order of name."""
    return sorted((ROOT / "docs" / "generators").glob("*.py"))


def _status(script: Path) -> int:
    return subprocess.run([sys.executable, script], cwd=ROOT, check=False).returncode


def main() -> int:
    """Run all of them; the exit status is 1 when one fails, and the others run all the same."""
    failed = [script.name for script in scripts() if _status(script)]
    for name in failed:
        sys.stderr.write(f"docs/generators/{name} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
