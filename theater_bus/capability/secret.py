"""Secrets as a capability meets them: handles in what the guest wrote, and values that show themselves nowhere.

A guest holds `secret:NAME`. A capability that talks to the outside puts the value in, as late as it can and never into
what it returns, logs or raises:

    header, used = await with_secrets(self.context, "Bearer secret:api-key", "api.example.com")
    ...
    return hide_secrets(body, used)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NoReturn

from theater_bus.capability.declaration import CapabilityError

if TYPE_CHECKING:
    from theater_bus.capability.context import Context

__all__ = ["Secret", "SecretRefused", "has_handle", "hide_secrets", "secret_name", "with_secrets"]

PREFIX: Final = "secret:"
_HANDLE: Final = re.compile(r"(?<![A-Za-z0-9_-])secret:([A-Za-z0-9_-]{1,64})(?![A-Za-z0-9_-])")


class SecretRefused(CapabilityError):
    """A handle that may not be resolved, here or for this destination. Uncaught, it is the guest's `err`."""


class Secret:
    """The value behind a handle. `str` and `repr` show the handle; it can be neither pickled nor copied."""

    __slots__ = ("_value", "handle")

    def __init__(self, handle: str, value: str) -> None:
        self.handle = handle
        self._value = value

    def reveal(self) -> str:
        """The value. Put it where it has to go, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.handle!r})"

    def __str__(self) -> str:
        return self.handle

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} stays in this process")


def secret_name(handle: str) -> str:
    """The NAME in `secret:NAME`. Raises `SecretRefused` for anything else."""
    found = _HANDLE.fullmatch(handle)
    if found is None:
        raise SecretRefused(f'{handle!r:.80} is no handle of a secret. Fix: write "secret:NAME"')
    return found[1]


def has_handle(text: str) -> bool:
    """Whether a text holds a handle."""
    return _HANDLE.search(text) is not None


async def with_secrets(context: Context, text: str, destination: str) -> tuple[str, tuple[Secret, ...]]:
    """The text with the value in the place of each handle, and the secrets that were put in.

    `destination` is the host that the text goes to. Raises `SecretRefused` when one of them may not go there.
    """
    secrets = {handle: await context.secret(handle, destination) for handle in _handles(text)}
    return _HANDLE.sub(lambda found: secrets[found[0]].reveal(), text), tuple(secrets.values())


def hide_secrets(data: bytes, secrets: Iterable[Secret]) -> bytes:
    """The data with the handle wherever a value stands as it is: for what a destination sends back."""
    for secret in secrets:
        data = data.replace(secret.reveal().encode(), secret.handle.encode())
    return data


def _handles(text: str) -> list[str]:
    return list(dict.fromkeys(found[0] for found in _HANDLE.finditer(text)))
