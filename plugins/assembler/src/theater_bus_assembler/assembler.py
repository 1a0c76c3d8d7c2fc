"""`wisp:assembler/runtime`: text to binary, by wasmtime's assembler."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field
from wasmtime import WasmtimeError, wat2wasm

from theater_bus.capability import NUMBER, Capability, CapabilityError, blocking
from theater_bus.capability import Settings as BaseSettings

__all__ = ["Assembler"]

MIB: Final = 1024 * 1024
PROBLEM_CHARACTERS: Final = 2_000


class Assembler(Capability):
    """Assembles; it never runs what it makes."""

    name = "assembler"
    pact = "assembler.pact"
    settings: Settings

    class Settings(BaseSettings):
        """`[capabilities.assembler]`; the time that assembling takes grows with the text and with nothing else."""

        text_bytes: Annotated[int, NUMBER, Field(strict=True, ge=0, le=8 * MIB)] = MIB

    @blocking
    def wat_to_wasm(self, wat: str) -> bytes:
        """The module. Raises `CapabilityError` with the place of what is wrong."""
        size, most = len(wat.encode()), self.settings.text_bytes
        if size > most:
            raise CapabilityError(
                f"{size} bytes of text are more than the grant assembler.text_bytes = {most}. Fix: write "
                f"`text_bytes = {size}` under [capabilities.assembler]; parent and host must allow as much"
            )
        try:
            return bytes(wat2wasm(wat))
        except WasmtimeError as error:
            raise CapabilityError(str(error)[:PROBLEM_CHARACTERS]) from error
