"""What steers an actor: pause, resume, shutdown, terminate, cancel, approve. Never waits for the running operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from theater_bus.core.lifecycle import StopReason
from theater_bus.host.operation import Operation
from theater_bus.host.verb_lane import Fields, Handler

if TYPE_CHECKING:
    from theater_bus.host.actor import Actor

__all__ = ["control_handlers"]


def control_handlers(actor: Actor) -> Mapping[str, Handler]:
    """The handlers of the control channel of `actor`."""
    desk = _Control(actor)
    return {
        "pause": desk.pause,
        "resume": desk.resume,
        "shutdown": desk.shutdown,
        "terminate": desk.terminate,
        "cancel": desk.cancel,
        "approve": desk.approve,
        "waiting": desk.waiting,
    }


class _Control:
    __slots__ = ("_actor",)

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def pause(self, fields: Fields) -> dict[str, Any]:
        self._actor.supervision.pause()
        return {"phase": self._actor.phases.phase.value}

    def resume(self, fields: Fields) -> dict[str, Any]:
        self._actor.supervision.resume()
        return {"phase": self._actor.phases.phase.value}

    def shutdown(self, fields: Fields) -> Any:
        grace_ms = fields.get("grace_ms")
        grace_s = None if grace_ms is None else grace_ms / 1000
        return self._stop(StopReason.SHUTDOWN, grace_s, fields["wait"], fields["reason"])

    def terminate(self, fields: Fields) -> Any:
        return self._stop(StopReason.TERMINATED, 0.0, fields["wait"], "")

    def cancel(self, fields: Fields) -> dict[str, Any]:
        matches: Callable[[Operation], bool]
        if "reply" in fields:
            reply = fields["reply"]

            def matches(op: Operation) -> bool:
                return bool(op.reply == reply)
        else:
            key = (fields["caller"], fields["op"])

            def matches(op: Operation) -> bool:
                return bool(op.key == key)

        found = self._actor.cancel(matches, "somebody cancelled the operation")
        return {"cancelled": found or "none"}

    def waiting(self, fields: Fields) -> dict[str, Any]:
        self._actor.services.calls.waiting.arrived(self._actor, tuple(fields["path"]))
        return {"accepted": True}

    def approve(self, fields: Fields) -> dict[str, Any]:
        approvals, decision = self._actor.approvals, fields["decision"]
        found = approvals is not None and approvals.decide(fields["id"], decision == "granted", fields["note"])
        return {"approval": decision if found else "none"}

    def _stop(self, reason: StopReason, grace_s: float | None, wait: bool, note: str) -> Any:
        actor = self._actor
        if note:
            actor.failure_note = note
        actor.services.stop_actor(actor, reason, grace_s=grace_s)
        if wait:
            return self._wait()
        return {"accepted": True, "phase": actor.phases.phase.value}

    async def _wait(self) -> dict[str, Any]:
        await self._actor.services.stopped(self._actor)
        return {"accepted": True, "phase": self._actor.phases.phase.value}
