"""Writes docs/reference/manifest.md from the declarations that the manifest is read by.

`render()` gives the page as text; running the file writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from theater_bus.core.manifest import PAGE_BYTES, SECTIONS, FailurePolicy, HostLimits, Manifest
from theater_bus.core.setting import DOC, RULE

PAGE = Path(__file__).resolve().parent.parent / "reference" / "manifest.md"

EXAMPLE = """\
name = "orders"
version = "1.2.0"
package = "orders.wasm"
expose = ["place", "cancel"]
initial_state = { open = [] }

[on_failure]
action = "restart"
max_restarts = 5
window_s = 60

[limits]
memory_bytes = 33_554_432
cpu_ms = 500
timeout_ms = 10_000

[mailbox]
operations = 256

[chain]
durability = "file"

[capabilities.runtime]

[capabilities.http-client]
hosts = ["api.example.com", "*.eu.example.com"]
timeout_ms = 5_000
"""

HEAD = f"""\
# The manifest

<!-- Written by docs/generators/manifest.py from theater_bus/core/manifest. -->

What an actor is, what it may use, and what happens when it fails, as a TOML file beside its package. The same map of
plain values travels in a spawn request.

Reading is strict: an unknown key, a value of another kind, a number out of range, or a setting that would have no
effect is refused with `spawn-refused`. The answer names every problem at once, each with its line and, where a word
was misspelt or misplaced, the one that was meant. Only `name` is required. Units are in the names.

```toml
{EXAMPLE}```

Its identity is the SHA-256 of its canonical form: a msgpack map with sorted keys that holds every setting in force,
defaults included. How the file was written does not matter; the digest stands in the genesis of the actor's chain.
"""

PACKAGE = """\
## The package

| `package` | is |
|---|---|
| a path | a file, relative to the manifest's folder; it travels with the spawn |
| `sha256:` and 64 digits | what the host has under that digest: in its packages directory, or in the object store |
| `https://…#sha256=` and 64 digits (or `http://`) | the same; where the host has it nowhere, what this address serves |
| `scheme://…` | what a plugin of the host resolves (hook `theater_package_resolvers`) |

An address pins the digest, so what it serves cannot change unnoticed. A host fetches from the hosts in its setting
`package_hosts` only, of which there are none by default; a redirect leads to one of them or is refused. A package has
at most 64 MiB and arrives within 30 s. Where a plugin resolves a scheme, what it answers is taken as it is. A spawn's
own package (`theater-bus spawn --package FILE`) wins over all of these. An actor that spawns others names no paths.

## Variables

A text may hold variables. They are replaced by whoever spawns (`theater-bus spawn`, `Theater.spawn`), before anything
is checked, so what travels and is recorded holds their values. A host replaces none: its environment stays its own.

| written | is |
|---|---|
| `${var.NAME}` | what `theater-bus spawn --set NAME=VALUE`, or `Theater.spawn(variables=…)`, gives |
| `${env.NAME}` | a variable of the environment of whoever spawns |
| `${var.NAME:-DEFAULT}` | the same, or the default where it is not given |
| `${env.NAME:-DEFAULT}` | the same, or the default where it does not exist, or is empty |
| `$${` | the text `${` |

```toml
name = "orders-${var.REGION}"
package = "orders.wasm"

[limits]
cpu_ms = "${var.CPU_MS:-500}"
```

A variable that stands alone takes the kind that its setting wants: `cpu_ms` above is the number 500. Where a setting
may be of any kind (`initial_state`, the settings of capabilities) it is what TOML reads: `--set N=5` is a number,
`--set 'N="5"'` a text, and what is neither number, `true`, list nor table is a text. Within a longer text it stands as
it was typed.

A value never becomes a key, and what it holds is not replaced again. A variable without value and default, and one that
is given and not in the manifest, refuse the spawn. So does `${env.NAME}` where the name speaks of a secret (`TOKEN`,
`PASSWORD`, `SECRET`, `KEY` and their like between underscores, and `THEATER_BUS_*`): a manifest is recorded. Secrets
are handed out as handles by the capability [config](capabilities/config.md).
"""

INTRODUCTIONS = {
    "on_failure": "A trap, or a limit that was reached, is a failure of the guest. What a caller did wrong, and an "
    '`err(…)` that the guest returns, are not. `on_failure = "pause"` is short for a table with that `action`; the '
    'other settings are for `action = "restart"` only.',
    "limits": f"What one actor may use. `memory_pages` (pages of {PAGE_BYTES:,} bytes) may stand in place of "
    "`memory_bytes`. Every number is cut by the host's maximum.",
    "mailbox": "How much may wait. What callers send and what the actor's own capabilities enqueue have separate room. "
    "Every number is cut by the host's maximum.",
    "chain": 'What is kept of what the actor did. `keep_events` and `keep_bytes` are for `durability = "memory"` '
    "only, and cut by the host's maximum.",
}

TAIL = """\
## `[capabilities.<name>]`

One table per capability that the actor may use, by the capability's name, empty where it needs no settings. Its
settings are those that the capability declares (`theater-bus plugins show NAME`), and are checked as strictly. A
capability that is not named here is not there for the actor.

Each setting is a bound, and the actor gets the intersection of what the host gives, what its parent has and what is
written here:

| bound | written as | intersection |
|---|---|---|
| number | a maximum | the smallest |
| flag | `true` or `false` | true only if all are |
| strings | a list of texts | those in all lists |
| paths | a list of prefixes, component by component, without `..` | the longer prefix |
| hosts | names, addresses, `*.suffix` for the names below a suffix | the narrower pattern |
| subjects | NATS subjects with `*` and `>` | what both match |
| anything else | a value | that value, if all agree on it |

`"unlimited"` and `"nothing"` are values of every bound but the last; an empty list is nothing.

## What a host gives at most

"""


def _default(one: Field[Any]) -> str:
    if one.default is MISSING:
        return "required"
    if one.default is None:
        return "–"
    if isinstance(one.default, bool):
        return f"`{str(one.default).lower()}`"
    return f"`{one.default:,}`" if isinstance(one.default, int) else f'`"{one.default}"`'


def _table(section: type) -> Iterator[str]:
    yield "| setting | values | default | meaning |"
    yield "|---|---|---|---|"
    for one in fields(section):
        if RULE in one.metadata:
            rule, doc = one.metadata[RULE], one.metadata[DOC]
            yield f"| `{one.name}` | {rule.describe()} | {_default(one)} | {doc} |"


def _lines() -> Iterator[str]:
    yield HEAD
    yield "## Top level\n"
    yield from _table(Manifest)
    yield f"\n{PACKAGE}"
    for name, section in (("on_failure", FailurePolicy), *SECTIONS.items()):
        yield f"\n## `[{name}]`\n\n{INTRODUCTIONS[name]}\n"
        yield from _table(section)
    yield f"\n{TAIL}| setting | maximum unless the host says otherwise |"
    yield "|---|---|"
    for one in fields(HostLimits):
        yield f"| `{one.name}` | {one.default:,} |"


def render() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
