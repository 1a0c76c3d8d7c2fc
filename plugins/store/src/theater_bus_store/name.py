"""What may be the id of a store, a label, a reference. Everything that a guest passes goes through here first.

Invariants: an accepted id or reference is one component of a path, and one token of a subject; a label is never used
as a name anywhere, only its digest is.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from theater_bus.capability import CapabilityError

__all__ = ["LABEL_BYTES", "STORE_ID", "check_label", "check_reference", "check_store", "label_key"]

STORE_ID: Final = r"^[A-Za-z0-9_-]{1,64}$"
LABEL_BYTES: Final = 512
_STORE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REFERENCE: Final = re.compile(r"[0-9a-f]{64}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_store(store: str) -> str:
    """The id of a store. Raises `CapabilityError` for what is none."""
    if _STORE.fullmatch(store) is None:
        raise CapabilityError(f"{store!r:.80} is no store. Fix: pass the id that `new` answered with")
    return store


def check_reference(reference: str) -> str:
    """The reference of content. Raises `CapabilityError` for what is none."""
    if _REFERENCE.fullmatch(reference) is None:
        raise CapabilityError(
            f"{reference!r:.80} is no reference. Fix: pass what `store` answered with, 64 lower-case hex digits"
        )
    return reference


def check_label(label: str) -> str:
    """A label: 1 to 512 bytes of text, in parts between slashes that are neither empty nor dots alone.

    Raises `CapabilityError`.
    """
    size = len(label.encode())
    if not 0 < size <= LABEL_BYTES:
        raise CapabilityError(f"a label has 1 to {LABEL_BYTES} bytes, this one has {size}")
    if _CONTROL.search(label):
        raise CapabilityError(f"the label {label!r:.80} holds control characters. Fix: leave them out")
    if any(part in ("", ".", "..") for part in label.split("/")):
        raise CapabilityError(
            f"the label {label!r:.80} has an empty part, `.` or `..`. Fix: write `a/b`, without a slash at either end"
        )
    return label


def label_key(label: str) -> str:
    """The name under which a label is kept: the hex SHA-256 of its text."""
    return hashlib.sha256(label.encode()).hexdigest()
