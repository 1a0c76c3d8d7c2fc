"""Secrets as a capability meets them: handles in what the guest wrote, and values that show themselves nowhere.

A guest holds `secret:NAME`. A capability that talks to the outside puts the value in, as late as it can and never into
what it returns, logs or raises:

    header, used = await with_secrets(self.context, "Bearer secret:api-key", "api.example.com")
    ...
    return hide_secrets(body, used)

What comes piece by piece goes through a `SecretMask`, since a value may lie across two pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NoReturn

from theater_bus.capability.declaration import CapabilityError

if TYPE_CHECKING:
    from theater_bus.capability.context import Context

__all__ = ["Secret", "SecretMask", "SecretRefused", "has_handle", "hide_secrets", "secret_name", "with_secrets"]

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
    for value, handle in _values(secrets):
        data = data.replace(value, handle)
    return data


class SecretMask:
    """Hides values in what comes piece by piece. Held back is only what may be the beginning of a value."""

    __slots__ = ("_held", "_secrets", "_values")

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets: dict[str, Secret] = {}
        self._values: list[tuple[bytes, bytes]] = []
        self._held = b""
        self.add(secrets)

    @property
    def held(self) -> int:
        """How many bytes are held back."""
        return len(self._held)

    def add(self, secrets: Iterable[Secret]) -> None:
        """Hide these too from now on."""
        self._secrets |= {secret.handle: secret for secret in secrets}
        self._values = _values(self._secrets.values())

    def feed(self, data: bytes) -> bytes:
        """What may be shown, now that `data` has come."""
        data = self._held + data
        for value, handle in self._values:
            data = data.replace(value, handle)
        at = min((_beginning(data, value) for value, _ in self._values), default=len(data))
        self._held = data[at:]
        return data[:at]

    def flush(self) -> bytes:
        """What was held back, when no more comes, or when it was waited for long enough."""
        held, self._held = self._held, b""
        return held


def _values(secrets: Iterable[Secret]) -> list[tuple[bytes, bytes]]:
    """Values and handles; the longest first, since another one may be a part of it."""
    found = [(secret.reveal().encode(), secret.handle.encode()) for secret in secrets]
    return sorted((one for one in found if one[0]), key=lambda one: -len(one[0]))


def _beginning(data: bytes, value: bytes) -> int:
    """Where a beginning of `value`, but not all of it, stands at the end of `data`; its length where there is none."""
    at = data.find(value[:1], max(0, len(data) - len(value) + 1))
    while at >= 0 and not value.startswith(data[at:]):
        at = data.find(value[:1], at + 1)
    return len(data) if at < 0 else at


def _handles(text: str) -> list[str]:
    return list(dict.fromkeys(found[0] for found in _HANDLE.finditer(text)))
