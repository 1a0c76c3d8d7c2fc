"""The logging of our own processes: one handler that never blocks, and structlog to render."""

from __future__ import annotations

import logging
import queue
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from logging.handlers import QueueHandler
from typing import IO, Any, Literal

import structlog

from theater_bus.errors import ConfigurationError
from theater_bus.telemetry.logs import SEVERITIES, severity

__all__ = ["LogFormat", "LoggingHandle", "configure_logging"]

LogFormat = Literal["console", "json"]
QUEUE_RECORDS = 10_000
_Records = queue.Queue[logging.LogRecord | None]


class LoggingHandle:
    """What `configure_logging` set up. `dropped` counts records that the full queue refused."""

    def __init__(self, handler: _DroppingHandler, writer: threading.Thread, level_before: int) -> None:
        self._handler = handler
        self._writer = writer
        self._level_before = level_before

    @property
    def dropped(self) -> int:
        """How many records were dropped because writing them was too slow."""
        return self._handler.dropped

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is queued, within the time allowed, and take the handler away again."""
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._level_before)
        with suppress(queue.Full):
            self._handler.records.put(None, timeout=timeout_s)
        self._writer.join(timeout_s)


class _DroppingHandler(QueueHandler):
    """Never blocks the thread that logs: a full queue drops the record and counts it."""

    def __init__(self, records: _Records) -> None:
        super().__init__(records)
        self.records = records
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.records.put_nowait(record)
        except queue.Full:
            self.dropped += 1


def configure_logging(
    format: LogFormat = "console",
    level: str = "info",
    stream: IO[str] | None = None,
    capacity: int = QUEUE_RECORDS,
) -> LoggingHandle:
    """Send all log records of this process to `stream` (stderr) as lines for people or as JSON.

    Records are written by a thread of their own. Raises `ConfigurationError` for an unknown format or level.
    """
    if format not in ("console", "json"):
        raise ConfigurationError("logging.format", f"{format!r} is unknown", "write console or json")
    if level.lower() not in SEVERITIES:
        raise ConfigurationError("logging.level", f"{level!r} is unknown", f"write one of {', '.join(SEVERITIES)}")
    target = sys.stderr if stream is None else stream
    output = logging.StreamHandler(target)
    output.setFormatter(_formatter(format, colors=target.isatty()))
    handler = _DroppingHandler(queue.Queue(capacity))
    writer = threading.Thread(target=_write, args=(handler.records, output), name="theater-bus-log", daemon=True)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(severity(level))
    writer.start()
    return LoggingHandle(handler, writer, before)


def _write(records: _Records, output: logging.Handler) -> None:
    while (record := records.get()) is not None:
        output.handle(record)


def _formatter(format: LogFormat, *, colors: bool) -> logging.Formatter:
    chain: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _spread_fields,
    ]
    ending: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if format == "json":
        ending += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        # Its default shows the local variables of every frame: a thousand lines, with passwords and payloads in them.
        plain = structlog.dev.plain_traceback
        ending.append(structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain))
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=chain, processors=ending)


def _spread_fields(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    fields = getattr(record, "theater", None)
    if isinstance(fields, Mapping):
        event["event"] = getattr(record, "theater_event", event["event"])
        event.update({key: value for key, value in fields.items() if key not in event})
    return event
