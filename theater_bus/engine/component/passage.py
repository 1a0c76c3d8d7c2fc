"""One crossing between the host's values and a component's: the memory that C reads, and what the other side may use.

Invariants
* Memory that lowered values point to is kept alive by the `Passage` until whoever called C lets go of it.
* What a guest hands over is bounded before Python objects are made of it: items of lists, and bytes of text.
* Bytes that pass a bridge lie in its cargo: what is sent is loaded into it, what comes is unloaded from it.
"""

from __future__ import annotations

import ctypes
from binascii import hexlify, unhexlify
from typing import Any, Final

from theater_bus.engine import ffi, ffi_component
from theater_bus.engine.component.bridge import ARENA

__all__ = ["Passage", "TooMuch"]

_BLOCK: Final = 16


class TooMuch(Exception):
    """A guest hands over more than is taken from it: the text says what and how much is allowed, `reason` the limit."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class Passage:
    """Keeps what lowered values point to, and counts what lifted values cost."""

    __slots__ = (
        "_cargo",
        "_handles",
        "_kept",
        "_loaded",
        "_nodes_left",
        "base",
        "bytes_left",
        "context",
        "max_bytes",
        "max_nodes",
    )

    def __init__(self, context: int, max_nodes: int, max_bytes: int) -> None:
        self.context = context
        self.max_nodes = self._nodes_left = max_nodes
        self.max_bytes = self.bytes_left = max_bytes
        self._kept: list[Any] = []
        self._handles: list[int] = []
        self.base = ARENA
        self._loaded: list[bytes] = []
        self._cargo = b""

    def keep(self, data: bytes) -> int:
        """The address of `data`, valid as long as this passage."""
        self._kept.append(data)
        return ffi.address_of(data)

    def keep_large(self, data: bytearray) -> int:
        """As `keep`, without a copy; `data` must not be resized."""
        view = (ctypes.c_char * len(data)).from_buffer(data)
        self._kept.append(view)
        return ctypes.addressof(view)

    def handle(self, type_number: int, number: int) -> int:
        """A handle on a host resource, freed with `release`."""
        found = ffi_component.resource_value(self.context, type_number, number)
        self._handles.append(found)
        return found

    def load(self, data: bytes) -> int:
        """Put bytes into the cargo that leaves; gives the address that they will have in the bridge."""
        at = self.base
        self.base += len(data)
        self._loaded.append(data)
        return at

    def loaded(self) -> bytes:
        """The cargo that leaves, in hexadecimal digits: whole blocks, as the bridge reads them."""
        data = b"".join(self._loaded)
        self._loaded.clear()
        return hexlify(data + bytes(-len(data) % _BLOCK))

    def arrived(self, digits: memoryview) -> None:
        """Take the cargo that came, in hexadecimal digits: the bridge's memory from `ARENA` on."""
        self._cargo = unhexlify(digits)

    def unload(self, address: int, size: int) -> bytes:
        """Bytes of the cargo that came."""
        at = address - ARENA
        if not 0 <= at <= at + size <= len(self._cargo):
            raise AssertionError(f"a bridge gave {size} bytes at {address} of {len(self._cargo)}")
        return self._cargo[at : at + size]

    def release(self) -> None:
        """Let go of the memory and the handles: the guest has its own copies."""
        self._kept.clear()
        self._loaded.clear()
        self._cargo = b""
        while self._handles:
            ffi_component.delete_resource(self._handles.pop())

    def count(self, nodes: int) -> None:
        """A list with so many items is about to be read. Raises `TooMuch`."""
        self._nodes_left -= nodes
        if self._nodes_left < 0:
            raise TooMuch("node-limit", f"more than {self.max_nodes:,} values in lists are not read (decode_nodes)")

    def measure(self, size: int) -> None:
        """So many bytes of text or of a primitive list are about to be read. Raises `TooMuch`."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise TooMuch("result-limit", f"more than {self.max_bytes:,} bytes are not read (result_bytes)")
