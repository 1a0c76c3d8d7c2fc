"""Log records: one event name per site, as records of the standard library.

An embedding application sees ordinary records of the logger `theater_bus` and formats them as it likes: the text is
`event key=value …`, the fields are in the record's `theater` attribute.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from theater_bus.telemetry.definition import LogLevel

__all__ = ["GUEST_LOGGER", "LOGGER", "SEVERITIES", "emit", "severity"]

LOGGER = logging.getLogger("theater_bus")
GUEST_LOGGER = logging.getLogger("theater_bus.guest")
SEVERITIES: dict[str, int] = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.ERROR,
}


def severity(level: LogLevel | str) -> int:
    """Return the stdlib level of a level's name, INFO for one that nobody knows."""
    return SEVERITIES.get(level.lower(), logging.INFO)


def emit(logger: logging.Logger, level: int, name: str, fields: Mapping[str, object]) -> None:
    """Log one event. Rendering happens in the handler, not here."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", _Text(name, fields), extra={"theater_event": name, "theater": fields})


class _Text:
    __slots__ = ("_fields", "_name")

    def __init__(self, name: str, fields: Mapping[str, object]) -> None:
        self._name = name
        self._fields = fields

    def __str__(self) -> str:
        return " ".join([self._name, *(f"{key}={value!r}" for key, value in self._fields.items())])
