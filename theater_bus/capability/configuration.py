"""What the operator of a host has configured, as a capability may ask for it on behalf of its actor."""

from __future__ import annotations

from typing import Any, Protocol

from theater_bus.capability.secret import Secret

__all__ = ["Configuration"]


class Configuration(Protocol):
    """Given in `Context.configuration`. Values and secrets are those that the actor's grant `config` names."""

    @property
    def own(self) -> Any:
        """What the operator has set for this capability, as its `HostSettings`; None for one that declares none."""

    def value(self, name: str) -> str:
        """The value of this name. Raises `CapabilityError` where it is not granted or not there."""

    def values(self) -> list[str]:
        """The names that `value` answers, sorted."""

    def secrets(self) -> list[str]:
        """The names of the secrets that the actor may hold the handles of, sorted."""

    def handle(self, name: str) -> str:
        """The handle of a secret that the actor may hold, `secret:NAME`. Raises `SecretRefused`."""

    async def reveal(self, name: str) -> str:
        """The value of a secret, for the guest: needs the grant `reveal`, and the operator's word for this secret.

        Raises `SecretRefused`.
        """

    async def own_secret(self, handle: str, destination: str) -> Secret:
        """The secret that `own` names, for a host that the operator lets it go to; the actor needs no grant for it.

        Never pass a handle that came from the guest: that is `Context.secret`. Raises `SecretRefused`.
        """
