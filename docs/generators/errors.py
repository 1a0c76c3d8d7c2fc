"""Renders `docs/reference/errors.md` from the error guide."""

from __future__ import annotations

from pathlib import Path

from theater_bus.core.wire import ERROR_CODE_HEADER, ERROR_HEADER, GUIDE, Guide

TARGET = "docs/reference/errors.md"

_HEAD = f"""# Errors

<!-- Written by docs/generators/errors.py from theater_bus/core/wire/error_guide.py. -->

Every operation, query and verb ends with a value or with one of these errors. Python raises the class; on the wire it
is the `code`, in the header `{ERROR_HEADER}` and in the body beside `message` and `details`, and the number in
the header `{ERROR_CODE_HEADER}`. All classes derive from `theater_bus.errors.ActorError`.

`details.ran` says what became of the operation:

| ran | meaning | send it again? |
| --- | --- | --- |
| `never` | nothing was executed | yes |
| `rolled-back` | executed, no change of state kept; calls to the outside may have happened | with the same key |
| `committed` | it was executed and recorded | there is no need |
| `unknown` | nobody here can tell | with the same key |
"""


def _entry(code: str, guide: Guide) -> str:
    ran = " or ".join(f"`{ran}`" for ran in guide.ran)
    return "\n".join(
        [
            f"## {code}",
            "",
            f"`{guide.error.__name__}`, {guide.error.number}, ran: {ran}",
            "",
            f"**When**: {guide.when}.",
            "",
            f"**What to do**: {guide.advice}.",
        ]
    )


def render() -> str:
    """The whole page."""
    return "\n\n".join([_HEAD.rstrip(), *(_entry(code, guide) for code, guide in GUIDE.items())]) + "\n"


if __name__ == "__main__":
    (Path(__file__).parents[2] / TARGET).write_text(render(), encoding="utf-8")
