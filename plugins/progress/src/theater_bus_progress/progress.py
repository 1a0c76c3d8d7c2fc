"""`theater:bus/progress`: a guest's parts on their way to the caller of the operation that it serves."""

from __future__ import annotations

from typing import Annotated, Any

import msgpack
from pydantic import Field

from theater_bus import ActorError
from theater_bus.capability import NUMBER, Capability, CapabilityError, Context
from theater_bus.capability import Settings as BaseSettings

__all__ = ["Progress"]


class Progress(Capability):
    """Parts, bounded in number and size for each operation."""

    name = "progress"
    pact = "progress.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`parts`: how many an operation may send. `part_bytes`: how large each may be, as msgpack."""

        parts: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1_000_000)] = 10_000
        part_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=1 << 20)] = 65_536

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._sent = 0

    def emit(self, part: Any) -> bool:
        """Send a part. Whether the caller takes parts."""
        size = len(msgpack.packb(part))  # type: ignore[no-untyped-call]
        if size > self.settings.part_bytes:
            raise CapabilityError(
                f"the part has {size} bytes, more than the granted progress.part_bytes = {self.settings.part_bytes}. "
                f"Fix: send it in pieces, or write `part_bytes = {size}` under [capabilities.progress]"
            )
        if self._sent >= self.settings.parts:
            raise CapabilityError(
                f"the grant progress.parts = {self.settings.parts} is used up by this operation. Fix: send fewer, "
                f"larger ones, or write a larger `parts` under [capabilities.progress]"
            )
        if self._sent == 0:
            self.context.on_operation_end(self._ended)
        self._sent += 1
        try:
            return self.context.emit_part(part)
        except ActorError as error:
            raise CapabilityError(error.message) from None

    def _ended(self, _took_effect: bool) -> None:
        self._sent = 0
