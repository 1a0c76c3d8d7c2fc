"""Signing in with a `.creds` file, read again at every connect so that it can be rotated.

nats-py's own reader of these files never returns when the JWT is missing, which would stop the event loop.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

from nats.errors import InvalidUserCredentialsError

__all__ = ["signing_in"]

_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END NATS USER JWT-+")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END USER NKEY SEED-+")


def signing_in(file: Path) -> tuple[Callable[[], bytes], Callable[[str], bytes]]:
    """nats-py's `user_jwt_cb` and `signature_cb` for the file. They raise OSError or InvalidUserCredentialsError."""

    def jwt() -> bytes:
        return _part(file, _JWT)

    def sign(nonce: str) -> bytes:
        import nkeys  # PyNaCl behind it costs 30 ms, which only users of keys pay

        try:
            pair = nkeys.from_seed(bytearray(_part(file, _SEED)))  # type: ignore[no-untyped-call]
        except (nkeys.NkeysError, ValueError) as error:
            raise InvalidUserCredentialsError from error
        signature = base64.b64encode(pair.sign(nonce.encode()))
        pair.wipe()
        return signature

    return jwt, sign


def _part(file: Path, pattern: re.Pattern[str]) -> bytes:
    found = pattern.search(file.read_text(errors="replace"))
    if found is None:
        raise InvalidUserCredentialsError
    return found[1].encode()
