"""Spans to the provider's batching processors, many at a time.

`on_end` costs a microsecond for each span and processor. A batch goes into the processors' queues at once, as `on_end`
would have put it there, after an export where there is no room. An SDK whose processors look different inside, a forked
process, and a processor that was shut down get each span through `on_end`, which knows what to do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

__all__ = ["Failed", "hand_over"]

Failed = Callable[[ReadableSpan, Exception], None]


def hand_over(processors: Sequence[SpanProcessor], spans: Sequence[ReadableSpan], failed: Failed) -> None:
    """Give sampled spans to every processor. `failed` gets what a processor raises, with the span.

    Blocks when a queue has to be exported first to make room.
    """
    for processor in processors:
        if type(processor) is BatchSpanProcessor and _takes(getattr(processor, "_batch_processor", None)):
            _put(processor, spans)
            continue
        for span in spans:
            try:
                processor.on_end(span)
            except Exception as error:  # noqa: BLE001 - processors are foreign code
                failed(span, error)


def _put(processor: BatchSpanProcessor, spans: Sequence[ReadableSpan]) -> None:
    batch = processor._batch_processor
    most = batch._max_queue_size
    for start in range(0, len(spans), most):
        piece = spans[start : start + most]
        if len(batch._queue) + len(piece) > most:
            processor.force_flush()
        if len(batch._queue) + len(piece) > most:  # others fill it too; the SDK counts and logs what it drops
            for span in piece:
                processor.on_end(span)
            continue
        batch._queue.extendleft(piece)
        if len(batch._queue) >= batch._max_export_batch_size:
            batch._worker_awaken.set()


def _takes(batch: Any) -> bool:
    """Whether a batching processor works here and now, and as this module knows it."""
    try:
        known = type(batch._queue) is deque and type(batch._worker_awaken) is Event
        known = known and type(batch._max_queue_size) is type(batch._max_export_batch_size) is int
        return known and not batch._shutdown and batch._pid == os.getpid()
    except AttributeError:
        return False
