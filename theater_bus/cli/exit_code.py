"""What the process ends with: one number per kind of ending, the same for every command.

Source: docs/reference/cli.md is generated from here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MEANING", "ExitCode", "exit_code_of"]


class ExitCode(IntEnum):
    """The exit codes. Scripts may rely on them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    TIMEOUT = 5
    NO_CONNECTION = 6
    NOT_NOW = 7
    BUG = 70
    INTERRUPTED = 130


MEANING: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "it was done",
    ExitCode.FAILED: "it was tried and failed: the guest said no or trapped, the chain does not verify, a check failed",
    ExitCode.USAGE: "the command cannot be understood: an option, JSON, a type or a pact is wrong",
    ExitCode.NOT_FOUND: "there is no such actor, function or file",
    ExitCode.REFUSED: "refused, or it does not fit: permissions, manifest, package, an id that is taken, size",
    ExitCode.TIMEOUT: "time ran out, or the outcome is unknown; the message says whether it ran",
    ExitCode.NO_CONNECTION: "there is no connection to NATS",
    ExitCode.NOT_NOW: "not now, later perhaps: nobody answers, overloaded, stopping, paused, storage full",
    ExitCode.BUG: "a bug in theater_bus; the message says where the traceback is",
    ExitCode.INTERRUPTED: "interrupted from the keyboard",
}

_BY_NAME: Final[Mapping[str, ExitCode]] = {
    "ActorExists": ExitCode.REFUSED,
    "ActorNotFound": ExitCode.NOT_FOUND,
    "CallCycle": ExitCode.FAILED,
    "Cancelled": ExitCode.FAILED,
    "ChainTampered": ExitCode.FAILED,
    "ChannelClosed": ExitCode.NOT_NOW,
    "ConfigurationError": ExitCode.USAGE,
    "ConnectionLost": ExitCode.NO_CONNECTION,
    "Fenced": ExitCode.REFUSED,
    "FunctionNotFound": ExitCode.NOT_FOUND,
    "GuestError": ExitCode.FAILED,
    "HandlerError": ExitCode.FAILED,
    "Internal": ExitCode.FAILED,
    "KeyReused": ExitCode.REFUSED,
    "NotPaused": ExitCode.NOT_NOW,
    "OperationTimeout": ExitCode.TIMEOUT,
    "OutcomeUnknown": ExitCode.TIMEOUT,
    "Overloaded": ExitCode.NOT_NOW,
    "PactSyntaxError": ExitCode.USAGE,
    "Paused": ExitCode.NOT_NOW,
    "PermissionDenied": ExitCode.REFUSED,
    "PluginError": ExitCode.FAILED,
    "SerializationError": ExitCode.USAGE,
    "ShuttingDown": ExitCode.NOT_NOW,
    "SpawnRefused": ExitCode.REFUSED,
    "TheaterError": ExitCode.FAILED,  # of a plugin's command
    "TooLarge": ExitCode.REFUSED,
    "TypeMismatch": ExitCode.USAGE,
    "Unavailable": ExitCode.NOT_NOW,
    "UnexpectedError": ExitCode.BUG,
    "UnknownVerb": ExitCode.NOT_FOUND,
    "UnsupportedVersion": ExitCode.USAGE,
    "UpdatePackageError": ExitCode.REFUSED,
    "IllegalTransition": ExitCode.BUG,
}


def exit_code_of(error: type[BaseException]) -> ExitCode:
    """The exit code for an error of this class; `FAILED` for a plugin's own, `BUG` for what is none of ours."""
    return next((_BY_NAME[cls.__name__] for cls in error.__mro__ if cls.__name__ in _BY_NAME), ExitCode.BUG)
