"""Every error of theater_bus, its wire code and its meaning for a retry.

    TheaterError
    ├── ActorError                     crosses the wire; the client raises the class that the host raised
    │   ├── OperationTimeout           operation-timeout      408
    │   ├── Cancelled                  cancelled              499
    │   ├── ChannelClosed              channel-closed         503
    │   ├── ActorNotFound              actor-not-found        404
    │   ├── ActorExists                actor-exists           409
    │   ├── ShuttingDown               shutting-down          503
    │   ├── Overloaded                 overloaded             429
    │   ├── Unavailable                unavailable            503
    │   ├── FunctionNotFound           function-not-found     404
    │   ├── TypeMismatch               type-mismatch          422
    │   ├── SerializationError         serialization-error    400
    │   ├── TooLarge                   too-large              413
    │   ├── UnsupportedVersion         unsupported-version    400
    │   ├── UnknownVerb                unknown-verb           404
    │   ├── KeyReused                  key-reused             422
    │   ├── CallCycle                  call-cycle             409
    │   ├── PermissionDenied           permission-denied      403
    │   ├── SpawnRefused               spawn-refused          422
    │   ├── GuestError                 guest-error            400
    │   ├── Internal                   guest-trap             500
    │   ├── HandlerError               capability-failed      502
    │   ├── Paused                     paused                 409
    │   ├── NotPaused                  not-paused             409
    │   ├── UpdatePackageError         update-package-error   409
    │   ├── OutcomeUnknown             outcome-unknown        504
    │   ├── Fenced                     fenced                 409
    │   └── UnexpectedError            unexpected-error       500
    └── LocalError                     misuse of this library in this process; never travels
        ├── PactSyntaxError            a pact source that does not parse
        ├── IllegalTransition          a phase change that the phase machine forbids
        ├── ChainTampered              recorded bytes that do not verify
        ├── PluginError                a plugin that cannot be loaded
        ├── ConfigurationError         a setting that cannot be used
        └── ConnectionLost             no connection to NATS

`ran` says what became of the operation: `never` (nothing was executed), `rolled-back` (executed, no effect kept),
`committed` (executed and recorded), `unknown`. A retry without an idempotency key is safe for `never` only.

The message of an error is derived from its fields: what failed, why (the value seen), and what to do ("Fix: …").
Source: wire protocol, "Errors".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args

__all__ = [
    "ActorError",
    "ActorExists",
    "ActorNotFound",
    "CallCycle",
    "Cancelled",
    "ChainTampered",
    "ChannelClosed",
    "ConfigurationError",
    "ConnectionLost",
    "Fenced",
    "FunctionNotFound",
    "GuestError",
    "HandlerError",
    "IllegalTransition",
    "Internal",
    "KeyReused",
    "LocalError",
    "NotPaused",
    "OperationTimeout",
    "OutcomeUnknown",
    "Overloaded",
    "PactSyntaxError",
    "Paused",
    "PermissionDenied",
    "PluginError",
    "Ran",
    "SerializationError",
    "ShuttingDown",
    "SpawnRefused",
    "TheaterError",
    "TooLarge",
    "TypeMismatch",
    "Unavailable",
    "UnexpectedError",
    "UnknownVerb",
    "UnsupportedVersion",
    "UpdatePackageError",
    "by_code",
    "from_wire",
]

Ran = Literal["never", "rolled-back", "committed", "unknown"]
RAN_VALUES: frozenset[str] = frozenset(get_args(Ran))


class TheaterError(Exception):
    """The root: catch this to catch everything that theater_bus raises on purpose."""


class LocalError(TheaterError):
    """Misuse of the library in this process. It never travels over the wire."""


class PactSyntaxError(LocalError):
    """A pact source does not parse. `line` and `column` count from 1."""

    def __init__(self, message: str, *, line: int = 0, column: int = 0, source: str = "") -> None:
        self.line, self.column, self.source = line, column, source
        where = f"{source or 'pact'}:{line}:{column}: " if line else ""
        super().__init__(f"{where}{message}")


class IllegalTransition(LocalError):
    """The phase machine forbids going from `found` to `wanted`."""

    def __init__(self, found: str, wanted: str) -> None:
        self.found, self.wanted = found, wanted
        super().__init__(f"phase cannot go from {found} to {wanted}")


class ChainTampered(LocalError):
    """Recorded bytes do not verify: `seq` is the first event that is wrong, `reason` says how."""

    def __init__(self, reason: str, *, seq: int | None = None) -> None:
        self.reason, self.seq = reason, seq
        super().__init__(reason if seq is None else f"event {seq}: {reason}")


class PluginError(LocalError):
    """A plugin cannot be loaded: which one, what of it, and why (four lines, as pluggy writes them)."""

    def __init__(self, plugin: str, subject: str, problem: str, fix: str = "") -> None:
        self.plugin, self.subject, self.problem, self.fix = plugin, subject, problem, fix
        lines = [f"plugin {plugin!r} cannot be used", f"  in: {subject}", f"  problem: {problem}"]
        if fix:
            lines.append(f"  Fix: {fix}")
        super().__init__("\n".join(lines))


class ConfigurationError(LocalError):
    """A setting cannot be used: its name, the value seen, why, and what to write instead."""

    def __init__(self, setting: str, problem: str, fix: str = "") -> None:
        self.setting, self.problem, self.fix = setting, problem, fix
        super().__init__(f"{setting}: {problem}" + (f". Fix: {fix}" if fix else ""))


class ConnectionLost(LocalError):
    """There is no connection to NATS, or it cannot be made with these settings."""

    def __init__(self, servers: str, reason: str, fix: str = "") -> None:
        self.servers, self.reason, self.fix = servers, reason, fix
        super().__init__(f"no connection to NATS at {servers}: {reason}" + (f". Fix: {fix}" if fix else ""))


_BY_CODE: dict[str, type[ActorError]] = {}


class ActorError(TheaterError):
    """An error that an operation, a query or a control verb ends with, on either side of the wire.

    `message` is what people read; `details` are the fields of the class, `ran` among them; both travel. `actor` is
    known to the client and is not part of the wire form.
    """

    code: ClassVar[str] = ""
    number: ClassVar[int] = 0
    default_ran: ClassVar[Ran] = "never"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.code:
            _BY_CODE[cls.code] = cls

    def __init__(self, message: str, /, *, ran: Ran | None = None, actor: str | None = None, **details: Any) -> None:
        self.message = message
        self.ran: Ran = ran or self.default_ran
        self.actor = actor
        self.details: dict[str, Any] = {"ran": self.ran, **details}
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_wire, ({"code": self.code, "message": self.message, "details": self.details}, self.actor))

    def __str__(self) -> str:
        return f"actor {self.actor!r}: {self.message}" if self.actor else self.message

    def to_wire(self) -> dict[str, Any]:
        """The body of an error reply: `{"code", "message", "details"}` with plain values."""
        return {"code": self.code, "message": self.message, "details": self.details}

    @classmethod
    def rebuild(cls, message: str, ran: Ran, details: Mapping[str, Any], actor: str | None) -> Self:
        """Make the error again from its wire form, without calling the subclass's own `__init__`."""
        error = cls.__new__(cls)
        ActorError.__init__(error, message, ran=ran, actor=actor, **{k: v for k, v in details.items() if k != "ran"})
        return error


def by_code(code: str) -> type[ActorError] | None:
    """The class with this wire code, or None."""
    return _BY_CODE.get(code)


def from_wire(error: Mapping[str, Any], actor: str | None = None) -> ActorError:
    """The error that a reply carries, as the class that went in at the host.

    An unknown code (a newer host) becomes `UnexpectedError` with the code in its details; nothing is lost.
    """
    code, message, details = error.get("code"), error.get("message"), error.get("details")
    if not isinstance(details, Mapping):
        details = {}
    details = {str(k): v for k, v in details.items() if k not in ("message", "actor")}
    cls = _BY_CODE.get(code) if isinstance(code, str) else None
    seen = details.get("ran")
    ran: Ran = seen if isinstance(seen, str) and seen in RAN_VALUES else "unknown"  # type: ignore[assignment]
    if cls is None:
        return UnexpectedError.rebuild(f"unknown error code {code!r}: {message}", ran, {**details, "code": code}, actor)
    return cls.rebuild(str(message), ran, details, actor)


class OperationTimeout(ActorError):
    """The deadline passed: queued → `never`, running → `rolled-back`, raised by the client alone → `unknown`."""

    code, number = "operation-timeout", 408


class Cancelled(ActorError):
    """Somebody cancelled the operation: queued → `never`, running → `rolled-back`."""

    code, number = "cancelled", 499


class ChannelClosed(ActorError):
    """The actor exists but nobody answers for it, or there is no connection to send on."""

    code, number = "channel-closed", 503


class ActorNotFound(ActorError):
    """No such actor: nobody listens, no host knows it."""

    code, number = "actor-not-found", 404


class ActorExists(ActorError):
    """An actor with this id lives already, or its chain ended and neither `--continue` nor `--fresh` was given."""

    code, number = "actor-exists", 409


class ShuttingDown(ActorError):
    """The actor is stopping; what was queued is answered with this too."""

    code, number = "shutting-down", 503


class Overloaded(ActorError):
    """A bound is reached; `details.bound` names the setting."""

    code, number = "overloaded", 429


class Unavailable(ActorError):
    """The chain or a store refuses for good until an append succeeds."""

    code, number = "unavailable", 503


class FunctionNotFound(ActorError):
    """No callable export of that name; `details.nearest` lists the closest ones."""

    code, number = "function-not-found", 404


class TypeMismatch(ActorError):
    """A value breaks a contract; `details.path` leads to the fault (`params.items[3].name`)."""

    code, number = "type-mismatch", 422


class SerializationError(ActorError):
    """Bytes that are not a valid envelope or value."""

    code, number = "serialization-error", 400


class TooLarge(ActorError):
    """A request or result over a limit; `details.size_bytes` and `details.limit_bytes` name both sizes."""

    code, number = "too-large", 413


class UnsupportedVersion(ActorError):
    """The envelope's `v` is not 1."""

    code, number = "unsupported-version", 400


class UnknownVerb(ActorError):
    """No such query or verb; `details.nearest` lists the closest ones."""

    code, number = "unknown-verb", 404


class KeyReused(ActorError):
    """The idempotency key was used before with another function or other parameters."""

    code, number = "key-reused", 422


class CallCycle(ActorError):
    """The receiver already waits for this request; `details.path` is the chain of waiting actors."""

    code, number = "call-cycle", 409


class PermissionDenied(ActorError):
    """Outside the grant, refused by an authoriser, or refused by NATS."""

    code, number = "permission-denied", 403


class SpawnRefused(ActorError):
    """Manifest, package, hash, capability or grant do not fit; the message says what to add where."""

    code, number = "spawn-refused", 422


class GuestError(ActorError):
    """The guest's own answer: it returned `err(…)`; `details.value` holds it as a plain value."""

    code, number, default_ran = "guest-error", 400, "committed"


class Internal(ActorError):
    """The guest trapped or reached a limit; `details.reason` names which."""

    code, number, default_ran = "guest-trap", 500, "rolled-back"


class HandlerError(ActorError):
    """A capability failed in a way that it does not report to the guest; `details.correlation` finds it in the log."""

    code, number, default_ran = "capability-failed", 502, "rolled-back"


class Paused(ActorError):
    """The actor is paused already."""

    code, number = "paused", 409


class NotPaused(ActorError):
    """The actor is not paused."""

    code, number = "not-paused", 409


class UpdatePackageError(ActorError):
    """A live update was refused; the old package goes on."""

    code, number = "update-package-error", 409


class OutcomeUnknown(ActorError):
    """The connection was lost after sending; ask `info.<id>.operation`."""

    code, number, default_ran = "outcome-unknown", 504, "unknown"


class Fenced(ActorError):
    """This host has lost the actor to another."""

    code, number = "fenced", 409


class UnexpectedError(ActorError):
    """A bug in theater_bus. `details.correlation` finds the traceback in the host's log."""

    code, number, default_ran = "unexpected-error", 500, "unknown"
