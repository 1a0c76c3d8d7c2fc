"""Renders `docs/reference/host-settings.md` from the host's settings class."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

from annotated_types import Ge, Gt, Le

from theater_bus import HostSettings

TARGET = "docs/reference/host-settings.md"

_HEAD = """\
# Host settings

<!-- Written by docs/generators/host_settings.py from theater_bus/host/settings.py. -->

What a host process can be told: as arguments of `theater_bus.HostSettings`, or as environment variables, `THEATER_BUS_`
and the name in upper case. Arguments win, and options of `theater-bus serve` are arguments. Lists in variables are
separated by commas. A value that does not fit is refused at the start, and so is an argument that is not listed here.
Of a variable with this prefix that nothing reads, `theater-bus serve` (`settings.ignored`) and `doctor` warn.
"""

_SECTIONS = {
    "Where the bus is, and as whom": {
        "servers": "addresses of one NATS cluster; with `tls://`, or any `tls_` setting, nothing is said without TLS",
        "user": "user name, with `password`",
        "password": "the password of `user`",
        "token": "instead of a user",
        "creds_file": "a `.creds` file (JWT and seed), read again at every connect",
        "nkey_seed_file": "a file with an nkey seed",
        "tls_ca": "PEM file of the authority to trust, where it is not one of the system's",
        "tls_cert": "PEM file of the client's certificate, with `tls_key`",
        "tls_key": "PEM file of its private key",
        "tls_hostname": "the name to verify, where it is not that of the address",
        "tls_handshake_first": "the server speaks TLS before its INFO line",
        "inbox_prefix": "where replies to this host arrive; a user with permissions has its own, `_INBOX.host`",
        "light_subscriptions": "dispatch without a task and a queue per subscription; `false`: nats-py's public API",
    },
    "Who this host is": {
        "namespace": "the namespace whose actors it runs",
        "host_id": "its name on the bus; unique in the namespace",
        "mode": "`production` imports only the plugins in `plugins_allow`, and publishes segments only to watchers",
    },
    "What it keeps and loads": {
        "data_dir": "where the chains of `file` actors are kept; without it there are no such actors",
        "packages_dir": "where modules are found by their digest",
        "package_hosts": "hosts (names, addresses, `*.suffix`) that packages are fetched from by address and digest",
        "cache_dir": "where compiled modules are kept, mode 0700; without it they are compiled again at every start",
        "config": "values, secrets and settings of capabilities: a TOML file, see [config](capabilities/config.md)",
        "fsync": "when the log of `file` actors is synced: before each answer, every second, or when the system likes",
    },
    "Who may do what": {
        "caller_subjects": "NATS permissions are in force that make `.@.<caller>` a proof",
        "authorize_default": "what holds for requests of which no authorizer has an opinion",
        "reply_prefixes": "first tokens of reply subjects that are answered; `*` stands for the rest of the token",
        "plugins_allow": "names of the plugins that may be imported; all without it, none in production",
        "grants": "what actors may be granted: a TOML file with the table `[grants]`; everything without it",
    },
    "Bounds": {
        "grace_ms": "what a running operation gets to finish when its actor or the host stops",
        "turn_ms": "how long guests may run within one turn of the event loop",
        "max_actors": "actors on this host",
        "max_memory_bytes": "memory of one actor, at most",
        "max_cpu_ms": "CPU time of one operation, at most",
        "max_timeout_ms": "budget of one operation, at most",
        "blocking_threads": "threads for host functions that block",
        "heartbeat_ms": "between two heartbeats",
        "repeat_one_in": "of so many operations of a component, one is repeated in a fresh instance, to find what the "
        "guest keeps in its memory and not in its state ([chain](chain.md)); 0: none",
    },
}


def _type(annotation: Any) -> str:
    arguments = get_args(annotation)
    if annotation in (int, float, bool, str):
        return {int: "int", float: "number", bool: "bool", str: "text"}[annotation]
    if "Literal" in str(get_origin(annotation)):
        return " or ".join(f"`{value}`" for value in arguments)
    if type(None) in arguments:
        return _type(next(each for each in arguments if each is not type(None)))
    name = str(annotation)
    return "list" if "tuple" in name else "path" if "Path" in name else "path or table" if "dict" in name else "text"


def _bounds(metadata: list[Any]) -> str:
    words = {Ge: "from {:,}", Gt: "above {:,}", Le: "to {:,}"}
    found = [words[type(one)].format(next(iter(_values(one)))) for one in metadata if type(one) in words]
    return f", {' '.join(found)}" if found else ""


def _values(bound: Any) -> tuple[Any, ...]:
    """The value of a bound such as `Ge(0)`."""
    return tuple(getattr(bound, name) for name in ("ge", "gt", "le") if hasattr(bound, name))


def _default(name: str) -> str:
    field = HostSettings.model_fields[name]
    if field.default_factory is not None:
        return "machine and pid"
    value = field.default
    if value is None:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value:,}`" if isinstance(value, int | float) else f"`{value}`"


def render() -> str:
    """The whole page. Raises `KeyError` for a setting that nobody has described, or that is gone."""
    described = [name for section in _SECTIONS.values() for name in section]
    if unknown := set(described) ^ set(HostSettings.model_fields):
        raise KeyError(f"describe or remove in docs/generators/host_settings.py: {', '.join(sorted(unknown))}")
    lines = [_HEAD]
    for title, section in _SECTIONS.items():
        lines += [f"## {title}\n", "| setting | values | default | meaning |", "|---|---|---|---|"]
        for name, meaning in section.items():
            field = HostSettings.model_fields[name]
            values = _type(field.annotation) + _bounds(field.metadata)
            lines.append(f"| `{name}` | {values} | {_default(name)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (Path(__file__).parents[2] / TARGET).write_text(render(), encoding="utf-8")
