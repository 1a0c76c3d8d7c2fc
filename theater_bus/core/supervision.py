"""What follows when a guest traps or reaches a limit: restart, pause or stop.

Invariants: within any `window_s` seconds there are at most `max_restarts` restarts, the next failure stops the actor;
a restart's delay never exceeds `BACKOFF_MAX_S`; the decision depends on nothing but the policy, the failures reported
so far, and the time and jitter that are passed in.

Times are monotonic float seconds. This is the policy of one actor for itself; what a parent decides about several
children is another rule.
Source: architecture, "Actor life".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from theater_bus.core.setting import Choice, Whole, setting

__all__ = ["BACKOFF_MAX_S", "Action", "Decision", "FailurePolicy", "Supervisor"]

BACKOFF_MAX_S: Final = 30.0


class Action(Enum):
    """What to do after a failure; the value is the manifest's word."""

    RESTART = "restart"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """`on_failure` of a manifest. The last three fields matter for `restart` only."""

    action: str = field(
        default="restart",
        metadata=setting(
            Choice(tuple(action.value for action in Action)),
            "what follows a trap or a reached limit: a fresh instance with the state before the failed operation, "
            "a pause until an operator resumes, or the end of the actor",
        ),
    )
    max_restarts: int = field(
        default=10,
        metadata=setting(Whole(0, 1_000_000), "restarts allowed within the window; one more failure stops the actor"),
    )
    window_s: int = field(default=60, metadata=setting(Whole(1, 86_400), "length of the window in seconds"))
    backoff_ms: int = field(
        default=100,
        metadata=setting(
            Whole(0, 30_000),
            "delay before the second restart within the window, doubled for each further one, at most 30 s; "
            "the first restart is at once",
        ),
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now. For a restart: which one within the window (from 1), and after how many seconds."""

    action: Action
    attempt: int = 0
    delay_s: float = 0.0
    why: str = ""


class Supervisor:
    """The failures of one actor, and what follows from them."""

    __slots__ = ("_action", "_policy", "_restarts")

    def __init__(self, policy: FailurePolicy) -> None:
        self._policy = policy
        self._action = Action(policy.action)
        self._restarts: deque[float] = deque()

    def restarts(self, now: float) -> int:
        """How many restarts lie within the window that ends now."""
        restarts = self._restarts
        while restarts and restarts[0] <= now - self._policy.window_s:
            restarts.popleft()
        return len(restarts)

    def decide(self, now: float, jitter: float = 1.0) -> Decision:
        """Report a failure at `now` and learn what follows.

        `jitter` in 0 to 1 is where in the upper half of the back-off the delay lies; pass a random number, so that
        actors that failed together do not come back together.
        """
        policy = self._policy
        if self._action is not Action.RESTART:
            return Decision(self._action, why=f'on_failure = "{policy.action}"')
        before = self.restarts(now)
        if before >= policy.max_restarts:
            return Decision(
                Action.STOP,
                why=f"{before} restarts within {policy.window_s} s, as many as on_failure.max_restarts allows",
            )
        self._restarts.append(now)
        return Decision(Action.RESTART, before + 1, self._delay_s(before, jitter), 'on_failure = "restart"')

    def _delay_s(self, before: int, jitter: float) -> float:
        if before == 0:
            return 0.0
        longest = min(self._policy.backoff_ms / 1000 * 2.0 ** min(before - 1, 30), BACKOFF_MAX_S)
        return longest / 2 + longest / 2 * min(max(jitter, 0.0), 1.0)
