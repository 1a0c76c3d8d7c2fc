"""`theater:bus/config`: a host's configuration, cut to what an actor is granted. The host keeps and resolves it."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from theater_bus.capability import FLAG, SECRETS, STRINGS, Capability
from theater_bus.capability import Settings as BaseSettings

__all__ = ["REVEALED", "Config"]

REVEALED: Final = "config.revealed"


class Config(Capability):
    """Values by name, and secrets as handles."""

    name = "config"
    pact = "config.pact"

    class Settings(BaseSettings):
        """`values`: names of values. `secrets`: `NAME@HOST`. `reveal`: whether the guest may see the secrets' values.

        The host holds every capability to `secrets` that asks it for the value behind a handle.
        """

        values: Annotated[tuple[str, ...], STRINGS] = ()
        secrets: Annotated[tuple[str, ...], SECRETS] = ()
        reveal: Annotated[bool, FLAG, Field(strict=True)] = False

    async def start(self) -> None:
        """Say in the log that this actor may see secrets, and which."""
        if self.settings.reveal and self.settings.secrets:
            actor, names = self.context.actor, ", ".join(self.secrets())
            self.context.meter.event(
                REVEALED,
                actor=actor.id,
                namespace=actor.namespace,
                host=actor.host,
                reason=f"reveal = true for {names}",
            )

    def get(self, name: str) -> str:
        """The value of that name."""
        return self.context.configuration.value(name)

    def names(self) -> list[str]:
        """The names that `get` answers."""
        return self.context.configuration.values()

    def secret(self, name: str) -> str:
        """The handle of a secret."""
        return self.context.configuration.handle(name)

    def secrets(self) -> list[str]:
        """The names of the secrets that the actor may hold."""
        return self.context.configuration.secrets()

    async def reveal(self, name: str) -> str:
        """The value of a secret."""
        return await self.context.configuration.reveal(name)
