"""What a replay found, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from theater_bus.core.chain.divergence import Divergence
from theater_bus.core.chain.verify import Problem

__all__ = ["ReplayReport", "Verdict"]


class Verdict(Enum):
    """What a replay ends with; the value is what machines read."""

    IDENTICAL = "identical"
    DIVERGED = "diverged"
    CORRUPT = "corrupt"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The result of a replay.

    `events` were verified, `from_seq` is the genesis or checkpoint that the replay began with (None: there was none);
    `operations` were run to their end, `imposed` ones followed as far as their record goes. `package` is the SHA-256
    of what ran, `recorded_package` of what the record was made with; where they differ, values were compared and not
    bytes. `problem` says what is corrupt or missing, `missing` are the digests of objects that were not found.
    """

    verdict: Verdict
    events: int
    operations: int
    imposed: int
    from_seq: int | None
    package: str | None
    recorded_package: str | None
    divergence: Divergence | None
    problem: Problem | None
    missing: tuple[bytes, ...]

    @property
    def is_identical(self) -> bool:
        """Whether everything that is recorded happened again."""
        return self.verdict is Verdict.IDENTICAL

    def as_plain(self) -> dict[str, object]:
        """The report with plain values, digests in hex."""
        return {
            "verdict": self.verdict.value,
            "events": self.events,
            "operations": self.operations,
            "imposed": self.imposed,
            "from_seq": self.from_seq,
            "package": self.package,
            "recorded_package": self.recorded_package,
            "first_divergence": None if self.divergence is None else self.divergence.as_plain(),
            "problem": None if self.problem is None else {"seq": self.problem.seq, "reason": self.problem.reason},
            "missing": [digest.hex() for digest in self.missing],
        }

    def __str__(self) -> str:
        ran = f"{self.verdict.value}: {self.events} events, {self.operations} operations, {self.imposed} imposed ends"
        if self.divergence is not None:
            return f"{ran}\n{self.divergence}"
        if self.problem is not None:
            return f"{ran}\n{self.problem.reason}" + (
                "" if self.problem.seq is None else f" (event {self.problem.seq})"
            )
        return ran
