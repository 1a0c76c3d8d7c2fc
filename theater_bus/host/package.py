"""What actors of one package and one manifest share: the functions with their codecs, the imports, the limits.

Made once per (package, manifest) and kept, so that the ten thousandth actor of a kind costs its instance and little
more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from theater_bus.capability import Capability
from theater_bus.core.mailbox import Bounds
from theater_bus.core.manifest import Manifest
from theater_bus.core.published import CAPABILITIES, distribution
from theater_bus.core.values.codec import FunctionCodec, Params, ValueCodec, function_codec, value_codec
from theater_bus.core.values.contract import check_imports
from theater_bus.core.values.export_table import Export, exported_functions
from theater_bus.core.values.metadata import PackageMetadata, parse_metadata
from theater_bus.core.values.types import TupleOf, Type, Unit
from theater_bus.engine import Budget, Component, Limits, Module
from theater_bus.errors import FunctionNotFound, SpawnRefused, TooLarge
from theater_bus.host.binding import (
    Binding,
    ambient,
    bind_component,
    bound,
    component_exports,
    component_metadata,
    functions_of,
    under_claimed_names,
)
from theater_bus.host.front import Front, fronts_of
from theater_bus.host.granting import read_settings
from theater_bus.plugins import AdoptedFunction, adopt

if TYPE_CHECKING:
    from theater_bus.host.middleware import Middleware
    from theater_bus.plugins import CapabilityType, PeerFunction, PluginRegistry
    from theater_bus.telemetry import FunctionSpec, Telemetry

__all__ = ["INIT", "ActorType", "FunctionEntry", "Package", "PeerEntry", "make_actor_type", "read_package"]

INIT = "theater:simple/actor.init"


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    """A loaded guest and what it declares: a module by its metadata, a component by its types."""

    module: Module | Component
    metadata: PackageMetadata
    exports: Mapping[str, Export]

    @property
    def is_component(self) -> bool:
        """Whether it is a component, not a Pack module."""
        return isinstance(self.module, Component)

    @property
    def abi(self) -> str:
        """How the guest is called, with the version, as genesis and checkpoints record it."""
        return "component/0.2" if self.is_component else "pack/2"

    @property
    def sha256(self) -> bytes:
        """Digest of the module's bytes, 32 bytes."""
        return bytes.fromhex(self.module.sha256)

    @property
    def digest_text(self) -> str:
        """The same as the wire and manifests write it."""
        return f"sha256:{self.module.sha256}"


class FunctionEntry:
    """One function of an actor's type: its symbol, its codec, and how telemetry names it.

    `decode_nodes` is how many nodes a value may have to be made of, or into, plain values. `front` is there where
    callers see other parameters than the guest.
    """

    __slots__ = ("codec", "decode_nodes", "front", "name", "spec", "stateful", "symbol")

    def __init__(self, export: Export, spec: FunctionSpec, decode_nodes: int, *, tupled: bool = False) -> None:
        self.name = export.name
        self.symbol = export.symbol
        self.stateful = export.stateful
        self.codec: FunctionCodec = function_codec(export.function, export.stateful, tupled)
        self.spec = spec
        self.decode_nodes = decode_nodes
        self.front: Front | None = None

    def plain_params(self, given: object, from_json: bool, size_bytes: int) -> Params:
        """Parameters that came as plain values in `size_bytes`, checked. Raises `TypeMismatch`, `TooLarge` for too many
        nodes, of which a byte makes two at most.
        """
        nodes = self.decode_nodes
        return self._bounded(self.codec.encode_params(given, from_json, nodes if 2 * size_bytes > nodes else None))

    def cgrf_params(self, cgrf: bytes) -> Params:
        """Parameters that came as CGRF, checked; of a component they are decoded for its own values.

        Raises `SerializationError`, `TypeMismatch`, and `TooLarge` for too many nodes where they are decoded.
        """
        params = self.codec.check_params(cgrf)
        return self._bounded(params) if self.codec.tupled else params

    def _bounded(self, params: Params) -> Params:
        if params.count > self.decode_nodes:
            how = "" if self.codec.tupled else "send them as cgrf, "
            raise TooLarge(
                f"the parameters of {self.name} have {params.count:,} nodes, {self.decode_nodes:,} are decoded. Fix: "
                f"{how}use primitive arrays, or raise limits.decode_nodes in the manifest",
                nodes=params.count,
                limit=self.decode_nodes,
            )
        return params


class PeerEntry(FunctionEntry):
    """A function that reaches one of the actor's capabilities instead of its guest."""

    __slots__ = ("_arguments", "capability", "method", "result")

    def __init__(self, capability: str, peer: PeerFunction, spec: FunctionSpec, decode_nodes: int) -> None:
        declared = peer.declaration
        super().__init__(Export(peer.name, peer.interface, declared, "", False, False), spec, decode_nodes)
        self.capability = capability
        self.method = peer.method
        self.result = value_codec(declared.result or Unit())
        self._arguments = value_codec(TupleOf(tuple(param.type for param in declared.params)))

    def arguments(self, params: Params) -> list[Any]:
        """The parameters as plain values. Raises `TooLarge`."""
        codec = self._arguments
        found: Any = codec.decode(codec.check(params.standalone), self.decode_nodes)
        return list(found)


@dataclass(slots=True, eq=False)
class ActorType:
    """Everything about an actor that is not its own: shared, never changed after it is made."""

    package: Package
    manifest: Manifest
    exports: Mapping[str, Export]
    callable: Mapping[str, FunctionEntry]
    owned: Mapping[str, FunctionEntry]
    peers: Mapping[str, PeerEntry]
    capabilities: tuple[CapabilityType, ...]
    bindings: tuple[Binding, ...]
    state_type: Type | None
    limits: Limits
    budget: Budget
    mailbox_bounds: Bounds
    middleware: Middleware | None
    fresh_each_time: bool
    unknown: FunctionSpec

    @property
    def init(self) -> FunctionEntry | None:
        """`theater:simple/actor.init`, where the package has it."""
        return self.owned.get(INIT)

    @property
    def state_codec(self) -> ValueCodec | None:
        """Between the state and its plain form; None where the package declares no state."""
        return None if self.state_type is None else value_codec(self.state_type)

    @property
    def sends(self) -> bool:
        """Whether its actors need an outbox."""
        return any(f.effect == "queued" for capability in self.capabilities for f in capability.functions.values())

    def function(self, name: str) -> FunctionEntry:
        """The function that callers know as `name`. Raises `FunctionNotFound` with the nearest names."""
        entry = self.callable.get(name)
        if entry is not None:
            return entry
        nearest = (
            get_close_matches(name, self.callable, 3)
            or [known for known in self.callable if known.rpartition(".")[2] == name][:3]
        )
        hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        raise FunctionNotFound(f"there is no function {name[:120]!r}.{hint}", function=name[:120], nearest=nearest)

    def entry(self, name: str) -> FunctionEntry:
        """What a request asks for: a peer function of a capability, or an export. Raises `FunctionNotFound`."""
        return self.peers.get(name) or self.function(name)

    def own_function(self, name: str) -> FunctionEntry:
        """A function as the actor's own capabilities may call it: callbacks included, the lifecycle excluded."""
        entry = self.owned.get(name)
        if entry is not None and name != INIT:
            return entry
        return self.function(name)

    def has_own_function(self, name: str) -> bool:
        """Whether `own_function` finds it."""
        return name != INIT and (name in self.owned or name in self.callable)


def read_package(module: Module | Component) -> Package:
    """What a guest declares. Raises `SpawnRefused` when it declares nothing, or what is not so."""
    if isinstance(module, Component):
        metadata = component_metadata(module)
        return Package(module, metadata, component_exports(module))
    if module.metadata is None:
        raise SpawnRefused(
            "the module carries no metadata (no `__pack_types` export), so nothing is known of its functions' types. "
            "Fix: build it with packr-guest, or add metadata with `theater-bus build --pact FILE.pact`"
        )
    metadata = parse_metadata(module.metadata)
    if metadata.problems:
        raise SpawnRefused(
            f"the package's metadata contradicts itself: {'; '.join(metadata.problems)}. Fix: build it again",
            problems=metadata.problems,
        )
    return Package(module, metadata, exported_functions(metadata, module.callables))


def make_actor_type(
    package: Package,
    manifest: Manifest,
    registry: PluginRegistry,
    telemetry: Telemetry,
    namespace: str,
    middleware: Middleware | None,
    limits: Limits,
    budget: Budget,
    listed: str = "",
) -> ActorType:
    """Hold a package against its manifest and the plugins of this host. Raises `SpawnRefused`, saying what to add.

    `listed` is the id of the one actor that the type is for, where it has metrics of its own.
    """
    imports = {interface.name: interface for interface in package.metadata.imports}
    named = (_capability(name, registry) for name in sorted(manifest.capabilities))
    capabilities = tuple(capability.version_for(imports) for capability in named)
    if package.is_component:
        capabilities += ambient(package.metadata, capabilities, registry)
    provided: dict[str, list[tuple[str, object]]] = {}
    for capability in capabilities:
        for interface in capability.interfaces:
            provided.setdefault(interface.name, []).append((capability.name, interface))
    available: dict[str, list[tuple[str, object]]] = {}
    for capability in registry.capabilities.values():
        for interface in capability.interfaces:
            available.setdefault(interface.name, []).append((capability.name, interface))
    adopted = _adopt(package, capabilities, manifest, provided)
    claimed = frozenset(
        name
        for capability in registry.capabilities.values()
        for name in (*capability.calls, *(peer.interface for peer in capability.peers.values()))
    )
    exports, fronts = dict(package.exports), dict[str, Front]()
    if isinstance(package.module, Component):
        functions = functions_of(capabilities, adopted)
        bindings = bind_component(
            package.module,
            package.metadata,
            capabilities,
            functions,
            provided,  # type: ignore[arg-type]
            available,  # type: ignore[arg-type]
            registry.capabilities.values(),
        )
        exports = under_claimed_names(exports, claimed)
        fronts = fronts_of(package.module, capabilities)
        exports |= {name: front.export() for name, front in fronts.items()}
    else:
        check = check_imports(package.metadata, package.module.imports, provided, available)  # type: ignore[arg-type]
        bindings = bound(check.require(), functions_of(capabilities, adopted))
    nodes = manifest.limits.decode_nodes
    entries = {
        name: FunctionEntry(
            export, telemetry.function_spec(name, namespace, actor=listed), nodes, tupled=package.is_component
        )
        for name, export in exports.items()
    }
    for name, front in fronts.items():
        entries[name].front = front
    owned = {n: e for n, e in entries.items() if exports[n].lifecycle or exports[n].interface in claimed}
    return ActorType(
        package=package,
        manifest=manifest,
        exports=exports,
        callable=_exposed({n: e for n, e in entries.items() if n not in owned}, manifest),
        owned=owned,
        peers={
            name: PeerEntry(capability.name, peer, telemetry.function_spec(name, namespace, actor=listed), nodes)
            for capability in capabilities
            for name, peer in capability.peers.items()
        },
        capabilities=capabilities,
        bindings=bindings,
        state_type=_state_type(package),
        limits=limits,
        budget=budget,
        mailbox_bounds=manifest.mailbox,
        middleware=middleware,
        fresh_each_time=manifest.isolates_operations(component=package.is_component),
        unknown=telemetry.function_spec("_OTHER", namespace, known=False, actor=listed),
    )


def _adopt(
    package: Package,
    capabilities: Sequence[CapabilityType],
    manifest: Manifest,
    provided: dict[str, list[tuple[str, object]]],
) -> dict[tuple[str, str], AdoptedFunction]:
    """Imports that no capability provides and one takes, by the guest's own declaration; added to `provided`."""
    found: dict[tuple[str, str], AdoptedFunction] = {}
    missing = [one for one in package.metadata.imports if one.name and one.name not in provided]
    for capability in capabilities:
        if not missing or capability.name not in manifest.capabilities or capability.cls.adopts is Capability.adopts:
            continue
        settings = read_settings(capability, manifest.capabilities[capability.name])
        for interface in missing:
            if capability.cls.adopts(settings, interface.name):
                provided.setdefault(interface.name, []).append((capability.name, interface))
                found |= {(interface.name, one.name): adopt(interface.name, one) for one in interface.functions}
    return found


def _capability(name: str, registry: PluginRegistry) -> CapabilityType:
    found = registry.capabilities.get(name)
    if found is not None:
        return found
    ours = distribution(name)
    nearest = [] if ours else get_close_matches(name, {**registry.capabilities, **dict.fromkeys(CAPABILITIES)}, 1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    offered = ", ".join(sorted(registry.capabilities)) or "none"
    raise SpawnRefused(
        f"no plugin of this host offers the capability {name!r}.{hint} Offered: {offered}. "
        f"Fix: install {ours or 'the plugin'}, or allow it in plugins_allow",
        capability=name,
        nearest=nearest,
    )


def _exposed(entries: Mapping[str, FunctionEntry], manifest: Manifest) -> dict[str, FunctionEntry]:
    if manifest.expose is None:
        return dict(entries)
    missing = [name for name in manifest.expose if name not in entries]
    if missing:
        raise SpawnRefused(
            f"expose names {', '.join(missing)}, which the package does not offer to callers. "
            f"Offered: {', '.join(sorted(entries))}",
            missing=missing,
        )
    return {name: entry for name, entry in entries.items() if manifest.exposes(name)}


def _state_type(package: Package) -> Type | None:
    """The type of the state: that of the first stateful export, since all of one package pass the same state."""
    for export in package.exports.values():
        if export.stateful:
            return export.function.params[0].type
    return None
