"""What a capability is: a name, a pact, settings, and one method per function of the pact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict

from theater_bus.capability.context import Context
from theater_bus.core.grants import Kind
from theater_bus.errors import ActorError, TheaterError

__all__ = ["Capability", "CapabilityError", "Settings", "blocking", "refusals"]

P = ParamSpec("P")
R = TypeVar("R")


class CapabilityError(Exception):
    """Raise it in a host function to answer the guest with `err(value)`.

    `value` is a plain value of the declared error type, a text for `result<_, string>`, None for `result<_, _>`. In a
    function whose declared type is not a result it counts as a failure of the capability.
    """

    def __init__(self, value: Any = None) -> None:
        self.value = value
        super().__init__(value if isinstance(value, str) else repr(value))


@contextmanager
def refusals() -> Iterator[None]:
    """Make what the host, NATS or a grant refuses within it (`TheaterError`) the guest's `err`, with the same text."""
    try:
        yield
    except TheaterError as error:
        raise CapabilityError(error.message if isinstance(error, ActorError) else str(error)) from error


class Settings(BaseModel):
    """The base of a capability's settings: immutable, unknown keys refused.

    Every field is a bound that can be intersected with what a parent and the host allow. Annotate it with the kind of
    bound that it is (`hosts: Annotated[tuple[str, ...], HOSTS] = ()`); a field without one must be agreed on exactly.
    The instance gets the settings after the cuts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


def blocking(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a host function that blocks: it runs on the host's bounded thread pool instead of the event loop."""
    function.__theater_blocking__ = True  # type: ignore[attr-defined]
    return function


class Capability:
    """Base class of capabilities. One instance is made for every actor, so its attributes belong to that actor.

    A function of the pact is the method of the same name with `-` written as `_`; where that is a Python keyword or
    already taken, one trailing underscore (`self` → `self_`, `import` → `import_`). Parameters arrive as plain values
    (see the wire protocol). A method returns the plain value of the declared result; for `result<T, E>` it returns the
    `T` and raises `CapabilityError` for the `E`. `async def` methods suspend the guest without a thread; a plain `def`
    must not block.

    Class attributes: `name` (as in the manifest's `[capabilities.<name>]`), `pact` (file name beside the class's
    module, or the pact text itself if it holds a newline), `Settings`, and `HostSettings` for what the operator of a
    host may set for it (`[capabilities.<name>]` in the host's configuration); each field of that has a default.
    `peer_pact` (like `pact`) declares how other actors and clients reach the instance, see `capability.peer`.
    `earlier` are subclasses with the pact of an earlier version each, for guests that were built against it: an actor
    gets the first version that has what it imports. `outlives_exit` says that the snapshot also comes back where an
    actor that had ended is continued (`spawn --continue`), not only where one is recovered.
    """

    name: ClassVar[str]
    pact: ClassVar[str]
    peer_pact: ClassVar[str] = ""
    Settings: ClassVar[type[Settings]] = Settings
    earlier: ClassVar[tuple[type[Capability], ...]] = ()
    HostSettings: ClassVar[type[BaseModel] | None] = None
    outlives_exit: ClassVar[bool] = False

    def __init__(self, context: Context, settings: Any) -> None:
        self.context = context
        self.settings = settings

    async def start(self) -> None:
        """Called once before the actor's first operation; a failure refuses the spawn."""

    async def stop(self) -> None:
        """Called once after the actor's last operation, with a bound in time; end background work here."""

    def snapshot(self) -> bytes | None:
        """What must survive a recovery, or None; written into checkpoints."""
        return None

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave, before `start`; the default refuses, since it never gave anything."""
        raise ValueError(f"capability {self.name!r} has no snapshot to restore")

    def recorded(self, function: str, args: list[Any], result: Any) -> None:
        """A host call since the snapshot, at a recovery before `start`: what it was called with and what it answered.

        Also calls of operations that failed; none that ended without an answer. `result` is the plain value of the
        declared result, `{"ok": …}` or `{"err": …}` for a `result<T, E>`.
        """

    def undelivered(self, function: str, args: list[Any], error: ActorError) -> None:
        """A send of a function that the pact names in `@queued` was given up; `args` are those of the host call."""

    @classmethod
    def adopts(cls, settings: Any, interface: str) -> bool:
        """Whether imports of this interface, which no capability of the actor provides, come to `call_import`.

        `settings` are those that the manifest asks for; refuse in `start` what is left out of them after the cuts.
        """
        return False

    async def call_import(self, interface: str, function: str, params: bytes) -> bytes:
        """Serve a call of an interface that `adopts` has taken: the parameter tuple as CGRF, the answer as CGRF.

        Raise `CapabilityError` for the `err` of a function whose declared result is one.
        """
        raise LookupError(f"capability {self.name!r} adopts {interface} and does not serve it")

    @classmethod
    def grant_bounds(cls) -> Mapping[str, Kind | None]:
        """The kind of bound that each setting is, by field; None for one that must be agreed on exactly."""
        return {
            field: next((one for one in info.metadata if isinstance(one, Kind)), None)
            for field, info in cls.Settings.model_fields.items()
        }
