"""Why a request got no reply, why a connection cannot be made: what nats-py says, in our words.

This is the one place where exceptions and texts of nats-py and of the server become errors of `theater_bus.errors`.
"""

from __future__ import annotations

import re
import socket
import ssl
from enum import Enum
from typing import TYPE_CHECKING

from theater_bus.bus.encryption import TlsNotOffered
from theater_bus.errors import (
    ActorError,
    ChannelClosed,
    ConnectionLost,
    OperationTimeout,
    OutcomeUnknown,
    PermissionDenied,
)

if TYPE_CHECKING:
    from theater_bus.bus.settings import BusSettings

__all__ = ["BusFailure", "as_error", "connection_lost", "violation"]


class BusFailure(Enum):
    """Why a request that was sent gets no reply."""

    TIMEOUT = "timeout"
    """Nothing came in time. The request may have been executed."""
    NO_RESPONDERS = "no-responders"
    """The server knows nobody who listens to the subject: nothing was executed."""
    PERMISSION_DENIED = "permission-denied"
    """NATS does not let this user publish to the subject, or subscribe to the inbox: nothing was executed."""
    DISCONNECTED = "disconnected"
    """The connection was lost after sending. The request may have been executed."""


def as_error(failure: BusFailure, subject: str, timeout_s: float | None = None) -> ActorError:
    """The error that a caller of `subject` gets for `failure`, with its `ran`."""
    match failure:
        case BusFailure.TIMEOUT:
            within = "in time" if timeout_s is None else f"within {timeout_s:g} s"
            limit_ms = None if timeout_s is None else round(timeout_s * 1000)
            return OperationTimeout(f"no reply from {subject} {within}", ran="unknown", limit_ms=limit_ms)
        case BusFailure.NO_RESPONDERS:
            return ChannelClosed(f"nobody listens to {subject}", ran="never")
        case BusFailure.PERMISSION_DENIED:
            return PermissionDenied(
                f"NATS does not let this user call {subject}, or not hear the reply. Fix: allow the subject in the "
                "user's permissions, and set `inbox_prefix` to the inbox that they name",
                ran="never",
            )
        case BusFailure.DISCONNECTED:
            return OutcomeUnknown(f"the connection was lost after sending to {subject}")


_VIOLATION = re.compile(
    r'permissions violation for (publish|subscription) (?:to|with reply of) "([^"]+)"', re.IGNORECASE
)


def violation(text: str) -> tuple[str, str] | None:
    """`("publish" | "subscription", subject in lower case)` from a permission error's text, else None.

    nats-py lowers the text of every server error before anybody sees it, so subjects compare in lower case.
    """
    found = _VIOLATION.search(text)
    return (found[1].lower(), found[2].lower()) if found else None


def connection_lost(settings: BusSettings, error: BaseException) -> ConnectionLost:
    """Why no connection could be made with `settings`, and what to change."""
    reason, fix = _explain(error, settings)
    return ConnectionLost(settings.servers_text, reason, fix)


def _explain(error: BaseException, settings: BusSettings) -> tuple[str, str]:
    text = str(error).removeprefix("nats: ").strip("'") or type(error).__name__
    if isinstance(error, TlsNotOffered):
        return text, "set up `tls` in its configuration, or ask for none (nats:// in `servers`, no tls settings)"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted ({error.verify_message})",
            "set tls.ca to the authority that signed it, or tls.hostname to a name that it holds",
        )
    if isinstance(error, ssl.SSLError):
        return (
            f"the TLS handshake failed ({error.reason or text})",
            "set tls.cert and tls.key if the server asks for a client certificate, and tls.handshake_first as it does",
        )
    if isinstance(error, socket.gaierror):
        return f"the name cannot be resolved ({error.strerror})", "check the host name in `servers`"
    if isinstance(error, FileNotFoundError | PermissionError) and error.filename:
        return f"{error.filename} cannot be read ({error.strerror})", "check the path of the credentials"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
        return (
            "nobody listens there",
            "start nats-server (or `theater-bus serve --embedded`), or check the address and port in `servers`",
        )
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return (
            f"the server hung up on {settings.identity_text} before it said why",
            "check the credentials (expired?), and for a TLS-first server set tls.handshake_first",
        )
    if isinstance(error, TimeoutError):
        return _silent(settings)
    return _refused(text, settings)


def _silent(settings: BusSettings) -> tuple[str, str]:
    hint = "check the address in `servers`, and firewalls"
    if settings.tls is None or not settings.tls.handshake_first:
        hint += "; a server with `handshake_first` stays silent until tls.handshake_first is set"
    return f"no answer within {settings.connect_timeout_s:g} s", hint


def _refused(text: str, settings: BusSettings) -> tuple[str, str]:
    lowered = text.lower()
    if "authorization" in lowered or "authentication" in lowered:
        return (
            f"the server refused {settings.identity_text} ({text})",
            "check user and password, token, nkey_seed or creds_file against the server's configuration",
        )
    if "credentials" in lowered or "nkeys" in lowered:
        return (
            f"{settings.identity_text} cannot be used ({text})",
            "give an nkey user seed (SU…), or a file with both a user JWT and its seed",
        )
    if "expecting info" in lowered:
        return (
            f"what answers there does not speak NATS ({text})",
            "check the port in `servers`; for a TLS-first server set tls.handshake_first",
        )
    return text, "look into the server's log"
