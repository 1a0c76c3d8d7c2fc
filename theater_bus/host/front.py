"""Exports that take handles, as callers see them: plain values in and out, the handles made by a capability.

The chain records what callers passed and got. Invariant: a caller never chooses a handle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from theater_bus.capability import CapabilityError, WitCapability
from theater_bus.core.values.codec import Params, value_codec
from theater_bus.core.values.export_table import Export
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import Function, TupleOf, Unit
from theater_bus.errors import ActorError, HandlerError, TypeMismatch
from theater_bus.plugins import CapabilityType, is_compatible, unversioned

if TYPE_CHECKING:
    from theater_bus.capability import Capability
    from theater_bus.engine import Component

__all__ = ["BODY", "FIRST_PART", "Front", "fronts_of", "handles_of", "split_body"]

BODY: Final = "body"
"""The field of a result that may leave in parts, where it is the last of a record with `list<u8>`."""
PART_BYTES: Final = 256 * 1024
FIRST_PART: Final = 1_000_000
"""The number of a body's first part, above all that is sent while the guest runs: the same for who repeats a request,
and was told a part of it before.
"""


_FIRST_HANDLE: Final = 0xFFFF_FF00


def handles_of(count: int) -> list[int]:
    """The handles that a front passes: above all that capabilities give; always the same, so that a replay has them."""
    return [_FIRST_HANDLE + place for place in range(count)]


class Front:
    """One such export: the symbol behind it, what callers pass, and the capability that stands between."""

    __slots__ = ("_arguments", "_count", "_raw", "_result", "declaration", "key", "provider", "symbol")

    def __init__(self, provider: str, key: str, declaration: Function, symbol: str, raw: Function) -> None:
        self.provider, self.key, self.declaration, self.symbol = provider, key, declaration, symbol
        self._arguments = value_codec(TupleOf(tuple(param.type for param in declaration.params)))
        self._count = len(raw.params)
        self._raw = value_codec(TupleOf(tuple(param.type for param in raw.params)))
        self._result = value_codec(declaration.result or Unit())

    def export(self) -> Export:
        """The export as callers know it: the name without a version, so that they need not know the guest's."""
        interface = self.key.rpartition(".")[0]
        return Export(self.key, interface, self.declaration, self.symbol, stateful=False, lifecycle=False)

    def call_input(self, capabilities: Mapping[str, Capability], params: Params, max_nodes: int) -> bytes:
        """The guest's own parameters. Raises an `ActorError` for what the capability refuses."""
        capability = self._capability(capabilities)
        given: Any = self._arguments.decode(self._arguments.check(params.standalone), max_nodes)
        handles = handles_of(self._count)
        try:
            capability.enter(self.key, list(given), handles)
            return self._raw.encode(handles).standalone()
        except CapabilityError as error:
            raise TypeMismatch(f"{self.key}: {error.value}", path="params") from None
        except ActorError:
            raise
        except Exception as error:
            raise HandlerError(f"{self.key}: {type(error).__name__}: {error}", ran="never") from error

    def output(self, capabilities: Mapping[str, Capability]) -> bytes:
        """What callers get, as the codec of the declaration reads it. Raises an `ActorError`."""
        capability = self._capability(capabilities)
        try:
            return self._result.encode(capability.leave(self.key)).standalone()
        except CapabilityError as error:
            raise HandlerError(f"{self.key}: {error.value}") from None
        except ActorError:
            raise
        except Exception as error:
            raise HandlerError(f"{self.key}: {type(error).__name__}: {error}") from error

    def _capability(self, capabilities: Mapping[str, Capability]) -> WitCapability:
        found = capabilities[self.provider]
        assert isinstance(found, WitCapability)
        return found


def fronts_of(component: Component, capabilities: tuple[CapabilityType, ...]) -> dict[str, Front]:
    """The fronts of what a component exports, by the name that callers use."""
    found: dict[str, Front] = {}
    for capability in capabilities:
        if not issubclass(capability.cls, WitCapability) or not capability.cls.fronts:
            continue
        declared = {
            f"{interface.name}.{function.name}": function
            for interface in parse(capability.cls.fronts, source=f"{capability.name}: fronts").interfaces
            for function in interface.functions
        }
        for name, crossing in component.functions.items():
            endpoint = crossing.endpoint
            key = f"{unversioned(endpoint.interface)}.{endpoint.function.name}"
            if endpoint.has_handles and key in declared and is_compatible(capability.cls, endpoint.interface):
                found[key] = Front(capability.name, key, declared[key], name, endpoint.function)
    return found


def split_body(plain: Any) -> tuple[Any, list[bytes]]:
    """A result whose body is long, without it, and the body in parts."""
    if not isinstance(plain, dict) or not isinstance(plain.get(BODY), bytes) or len(plain[BODY]) <= PART_BYTES:
        return plain, []
    body = plain[BODY]
    return plain | {BODY: b""}, [body[at : at + PART_BYTES] for at in range(0, len(body), PART_BYTES)]
