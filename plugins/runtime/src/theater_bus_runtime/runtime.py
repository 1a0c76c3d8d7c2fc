"""`theater:simple/runtime`, compatible with guests built for Theater 0.3.12 and for its head."""

from __future__ import annotations

import json

from theater_bus.capability import Capability

__all__ = ["Runtime"]


class Runtime(Capability):
    """`log`, `self`, `get-chain` and `shutdown`. It needs no grant beyond being named in the manifest."""

    name = "runtime"
    pact = "runtime.pact"

    def log(self, msg: str) -> None:
        """A log record of the actor, with the operation's trace; rate-limited at the host."""
        self.context.guest_log(msg)

    def self_(self) -> str:
        """The id of the actor."""
        return self.context.actor.id

    async def get_chain(self) -> bytes:
        """The events that the host still holds, oldest first, as UTF-8 JSON.

        An array of `{"seq", "hash", "parent", "type", "time_ns"}`; hashes are hex. Events of the running operation
        are not among them: they are recorded when it ends.
        """
        return json.dumps(await self.context.chain(), separators=(",", ":")).encode()

    def shutdown(self, data: bytes | None) -> None:
        """End the actor, with reason `exited` and `data` as its result, when the running operation is done."""
        self.context.request_shutdown(data)
