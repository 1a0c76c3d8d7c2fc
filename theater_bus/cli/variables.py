"""Variables that look like ours and name no setting: a slip in one would go unseen."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

__all__ = ["PREFIX", "settings_variables", "strays"]

PREFIX = "THEATER_BUS_"
_SERVICE_LINK = re.compile(r"(^|_)(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)$")
"""What Kubernetes sets in every container for a service that is called `theater-bus` or `theater-bus-nats`."""


def settings_variables() -> set[str]:
    """The names of all variables that a host or a command reads."""
    from theater_bus.cli.command import shared_options
    from theater_bus.cli.commands.serve import command as serve
    from theater_bus.host.settings import HostSettings

    options = {str(option.envvar) for option in (*shared_options(), *serve.params) if getattr(option, "envvar", None)}
    return options | {PREFIX + name.upper() for name in HostSettings.model_fields}


def strays(
    environment: Mapping[str, str], known: Collection[str], config: Mapping[str, Any] | None = None
) -> list[str]:
    """The variables with our prefix that nothing reads, in order, each with the name that was meant, if one is near.

    `config` is the host's configuration: the variables that its secrets come from are read.
    """
    secrets = (config or {}).get("secrets")
    sources = secrets.values() if isinstance(secrets, dict) else ()
    read = {source.get("env") for source in sources if isinstance(source, dict)}
    found = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in known or name in read or _SERVICE_LINK.search(name):
            continue
        near = get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], 1)
        found.append(name + (f" (did you mean {PREFIX}{near[0]}?)" if near else ""))
    return found
