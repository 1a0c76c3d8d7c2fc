"""The standard samplers as numbers, so that a decision is one comparison and needs no SDK call.

Every standard sampler accepts a trace when the low 64 bits of its id are below a threshold: always on is 2^64, always
off 0, a ratio in between (`TraceIdRatioBased.bound`); parent-based ones have one threshold for each kind of parent.
Anything else, a subclass too, is not standard and must be asked itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    StaticSampler,
    TraceIdRatioBased,
)

__all__ = ["MASK", "Thresholds", "thresholds"]

MASK = TraceIdRatioBased.TRACE_ID_LIMIT
_ALWAYS = MASK + 1


@dataclass(frozen=True, slots=True)
class Thresholds:
    """A trace is sampled when `trace_id & MASK` is below the threshold for its parent."""

    root: int
    remote_sampled: int
    remote_unsampled: int
    local_sampled: int
    local_unsampled: int

    @property
    def never_at_root(self) -> bool:
        """Whether no trace ever begins here."""
        return self.root == 0


def thresholds(sampler: Sampler) -> Thresholds | None:
    """Return the thresholds of a standard sampler, None for any other."""
    if type(sampler) in (ParentBased, ParentBasedTraceIdRatio):
        found = [_threshold(getattr(sampler, name, None)) for name in _DELEGATES]
    else:
        found = [_threshold(sampler)] * 5
    known = [each for each in found if each is not None]
    return Thresholds(*known) if len(known) == 5 else None


_DELEGATES = (
    "_root",
    "_remote_parent_sampled",
    "_remote_parent_not_sampled",
    "_local_parent_sampled",
    "_local_parent_not_sampled",
)


def _threshold(sampler: object) -> int | None:
    if type(sampler) is TraceIdRatioBased:
        return sampler.bound
    if type(sampler) is StaticSampler:
        decision = sampler.should_sample(None, 1, "").decision
        return {Decision.RECORD_AND_SAMPLE: _ALWAYS, Decision.DROP: 0}.get(decision)
    return None
