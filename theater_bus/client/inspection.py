"""Questions about an actor that programs ask now and then: its exports, manifest and grants, what became of a key."""

from __future__ import annotations

from typing import Any

from theater_bus.client.grants import GrantsReport
from theater_bus.client.results import Exports, OperationOutcome, parsed
from theater_bus.client.session import DEFAULT_TIMEOUT_S, Session

__all__ = ["Inspection"]


class Inspection:
    """Get it as `handle.inspect`. Every method raises as those of `ActorHandle` do."""

    __slots__ = ("_id", "_session")

    def __init__(self, session: Session, actor_id: str) -> None:
        self._session = session
        self._id = actor_id

    async def exports(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> Exports:
        """The functions that can be called, with their types, and the hashes of the interfaces."""
        return parsed(Exports.from_wire, await self._info("exports", {}, timeout), "info.exports")

    async def manifest(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
        """The manifest in force, defaults filled in, as plain values."""
        answer = await self._info("manifest", {}, timeout)
        return parsed(lambda wire: dict(wire["manifest"]), answer, "info.manifest")

    async def grants(self, *, timeout: float = DEFAULT_TIMEOUT_S) -> GrantsReport:
        """What the actor may use, and which of host, parent and manifest cut what."""
        return parsed(GrantsReport.from_wire, await self._info("grants", {}, timeout), "info.grants")

    async def operation(self, key: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> OperationOutcome:
        """What became of the call with this key: the question to ask after `OutcomeUnknown` or a timeout."""
        found = OperationOutcome("not-recorded")
        for scope in self._session.scopes:
            answer = await self._info("operation", {"op": key, "caller": scope}, timeout)
            found = parsed(OperationOutcome.from_wire, answer, "info.operation")
            if found.outcome != "not-recorded":
                break
        return found

    async def _info(self, query: str, fields: dict[str, Any], timeout: float) -> Any:
        return await self._session.ask(self._id, self._session.subjects.info(self._id, query), fields, timeout)
