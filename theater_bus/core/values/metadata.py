"""The metadata that a package carries: its imports and exports with their types, and their hashes.

Invariants: foreign metadata is read by field name and case number, within fixed bounds, and either understood wholly or
refused with the path to the fault; hashes in a `PackageMetadata` are always computed from the declarations, and where
the package's own hash lists say otherwise, `problems` says so.
Source: the Pack ABI, "Embedded metadata and interface hashes".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from theater_bus.core.values.cgrf import decode
from theater_bus.core.values.hashing import interface_hash
from theater_bus.core.values.metadata_types import Malformed, Reader, read_type
from theater_bus.core.values.metadata_writer import emit_metadata
from theater_bus.core.values.model import Kind, ScalarValue
from theater_bus.core.values.nodes import Limits
from theater_bus.core.values.types import Function, Interface, Param
from theater_bus.errors import SerializationError, SpawnRefused

__all__ = ["METADATA_LIMITS", "PackageMetadata", "emit_metadata", "parse_metadata"]

METADATA_LIMITS = Limits(max_bytes=1 << 20, max_nodes=100_000, max_values=100_000)
_FIX = "Fix: build it with packr-guest, or with `theater-bus build`"
_WORD = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class PackageMetadata:
    """What a package declares.

    Interfaces are in order of first mention; functions outside of any are in the interface ''. Hashes are 32 bytes by
    interface name. `declared_hashes` is False for packages older than hash lists. `problems` names what the package's
    own hash lists say wrongly; a package with problems must not be run. `type_params` are its unbound type parameters.
    """

    imports: tuple[Interface, ...]
    exports: tuple[Interface, ...]
    import_hashes: Mapping[str, bytes]
    export_hashes: Mapping[str, bytes]
    declared_hashes: bool
    problems: tuple[str, ...] = ()
    type_params: tuple[str, ...] = field(default=())

    def export(self, interface: str) -> Interface | None:
        """The exported interface of that name, or None."""
        return next((one for one in self.exports if one.name == interface), None)


@lru_cache(maxsize=64)
def parse_metadata(blob: bytes) -> PackageMetadata:
    """Read a metadata blob. Raises `SpawnRefused` that says what is wrong with it, and where.

    Results are cached: many actors of one package are spawned from one blob.
    """
    try:
        value = decode(blob, METADATA_LIMITS)
    except SerializationError as error:
        raise SpawnRefused(f"the package's metadata cannot be read: {error.message}. {_FIX}") from error
    try:
        return _package(Reader(value))
    except Malformed as error:
        raise SpawnRefused(f"the package's metadata is not valid: {error}. {_FIX}") from error


def _package(root: Reader) -> PackageMetadata:
    fields = root.record()
    for name in ("imports", "exports"):
        if name not in fields:
            root.refuse(f"there is no field `{name}`")
    imports, exports = _interfaces(fields["imports"]), _interfaces(fields["exports"])
    computed = [MappingProxyType({one.name: interface_hash(one) for one in side}) for side in (imports, exports)]
    problems: list[str] = []
    declared = False
    for side, name, hashes in zip(("import", "export"), ("importhashes", "exporthashes"), computed, strict=True):
        if name in fields:
            declared = True
            problems += _compare(side, _hashes(fields[name]), hashes)
    params = tuple(_name(one) for one in fields["typeparams"].items()) if "typeparams" in fields else ()
    return PackageMetadata(imports, exports, computed[0], computed[1], declared, tuple(problems), params)


def _name(record: Reader) -> str:
    return record.get("name").text()


def _interfaces(functions: Reader) -> tuple[Interface, ...]:
    by_name: dict[str, list[Function]] = {}
    for signature in functions.items():
        fields = signature.record()
        interface = fields["interface"].text() if "interface" in fields else ""
        by_name.setdefault(interface, []).append(_function(signature))
    return tuple(Interface(name, tuple(found)) for name, found in by_name.items())


def _function(signature: Reader) -> Function:
    params = tuple(Param(_name(one), read_type(one.get("type"))) for one in signature.get("params").items())
    results = signature.get("results").items()
    if len(results) > 1:
        signature.refuse(f"there are {len(results)} results")
    return Function(_name(signature), params, read_type(results[0]) if results else None)


def _hashes(entries: Reader) -> dict[str, bytes]:
    return {_name(entry): _hash(entry.get("hash")) for entry in entries.items()}


def _hash(reader: Reader) -> bytes:
    data = reader.bytes()
    if data is None:
        words = [one.value for one in reader.items()]
        data = b"".join(
            _WORD.pack(word.value) for word in words if isinstance(word, ScalarValue) and word.kind is Kind.U64
        )
    return data if len(data) == 32 else reader.refuse("a hash is four u64, or 32 bytes")


def _compare(side: str, declared: Mapping[str, bytes], computed: Mapping[str, bytes]) -> Iterable[str]:
    for name in sorted(declared.keys() | computed.keys()):
        shown = f"interface `{name}`" if name else "the functions without interface"
        if name not in computed:
            yield f"{side} hash of {shown}: the metadata declares no {side} of it"
        elif name not in declared:
            yield f"{side} hash of {shown} is missing, its declarations give {computed[name].hex()}"
        elif declared[name] != computed[name]:
            yield (
                f"{side} hash of {shown} is declared as {declared[name].hex()}, "
                f"its declarations give {computed[name].hex()}"
            )
