"""How many lines may be logged: a token bucket per guest or event name, with a count of what was dropped."""

from __future__ import annotations

__all__ = ["LogRateLimiter"]

_SOURCES = 10_000


class LogRateLimiter:
    """Admits `burst` lines at once and `per_second` on the long run, for each source on its own."""

    def __init__(self, per_second: float = 50.0, burst: int = 200) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._buckets: dict[str, list[float]] = {}

    def admit(self, source: str, now_s: float) -> int | None:
        """Return how many lines were dropped since the last admitted one; None when this one is dropped too.

        `now_s` is any monotonic clock in seconds.
        """
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= _SOURCES:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[source] = [self._burst, now_s, 0]
        tokens = min(self._burst, bucket[0] + (now_s - bucket[1]) * self._per_second)
        bucket[1] = now_s
        if tokens < 1.0:
            bucket[0] = tokens
            bucket[2] += 1
            return None
        bucket[0] = tokens - 1.0
        dropped, bucket[2] = int(bucket[2]), 0
        return dropped
