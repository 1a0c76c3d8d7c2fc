"""A component's imports and exports, read from its compiled form: interfaces in our type model, shapes of all values.

Invariants: every function that is reported can be called; those whose types cannot cross are reported with the reason;
resources are numbered in the order in which they are first seen, the same for every load of the same component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from theater_bus.core.values.types import Flags, Function, Interface, Param, Record, Scalar, Type, Variant
from theater_bus.engine import ffi_component as native
from theater_bus.engine.component import shape as shapes
from theater_bus.engine.component.bridge import Bridged
from theater_bus.engine.component.cargo import span_shape
from theater_bus.engine.component.shape import Shape
from theater_bus.engine.component.wit_type import WitType
from theater_bus.engine.ffi_component import ItemKind, ValType

__all__ = ["Endpoint", "Resource", "World", "bridge_of", "read_world"]


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One function: where it is found, its declaration, and how its values cross. `interface` '' is the world itself.

    `problem` says why it cannot be used, empty when it can. `has_handles`: numbers among its values are handles on
    resources, which only the host may choose. `bridge` is what its bytes pass, None where there is none.
    """

    interface: str
    function: Function
    params: tuple[Shape, ...]
    result: Shape | None
    problem: str = ""
    has_handles: bool = False
    bridge: Bridged | None = None

    @property
    def name(self) -> str:
        """`interface.function`, or the bare name."""
        return f"{self.interface}.{self.function.name}" if self.interface else self.function.name


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that the host provides: `number` is its type's; the same resource may have several places."""

    interface: str
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class World:
    """What a component needs and offers. `others` are imports that are neither functions nor types.

    `bridge` is the name of the interface in which its bridges are found. `types` are those that imported interfaces
    name, by interface and name; a resource stands there as the handle that owns it.
    """

    imports: tuple[Endpoint, ...]
    exports: tuple[Endpoint, ...]
    resources: tuple[Resource, ...]
    resource_names: tuple[str, ...]
    others: tuple[str, ...]
    bridge: str = ""
    types: Mapping[tuple[str, str], WitType] = field(default_factory=dict)

    @property
    def bridges(self) -> int:
        """How many bridges there are, each with a memory of its own: one for imports, one for exports."""
        return sum(any(one.bridge is not None for one in side) for side in (self.imports, self.exports))

    def import_interfaces(self) -> tuple[Interface, ...]:
        """The declarations of the imports, by interface."""
        return _interfaces(self.imports)

    def export_interfaces(self) -> tuple[Interface, ...]:
        """The declarations of the exports that can be called, by interface."""
        return _interfaces([one for one in self.exports if not one.problem])


def read_world(component: int, engine: int, bridge: str = "") -> World:
    """Read a compiled component; its bridges, if it has any, are found under the name `bridge`."""
    reader = _Reader(engine, bridge)
    try:
        imports = reader.side(lambda: native.imports_of(component, engine), imported=True)
        exports = reader.side(lambda: native.exports_of(component, engine), imported=False)
        return World(
            tuple(imports),
            tuple(exports),
            tuple(reader.resources),
            tuple(reader.resource_names),
            tuple(reader.others),
            bridge,
            reader.types,
        )
    finally:
        reader.close()


def _interfaces(endpoints: Iterable[Endpoint]) -> tuple[Interface, ...]:
    found: dict[str, list[Function]] = {}
    for one in endpoints:
        found.setdefault(one.interface, []).append(one.function)
    return tuple(Interface(name, tuple(functions)) for name, functions in found.items())


def bridge_of(endpoint: Endpoint, number: int, imported: bool) -> Bridged:
    """The bridge of the import or export with this number."""
    function = endpoint.function
    return Bridged(
        number,
        endpoint.interface,
        function.name,
        tuple((param.name, shape.wit) for param, shape in zip(function.params, endpoint.params, strict=True)),
        None if endpoint.result is None else endpoint.result.wit,
        imported,
    )


class _Refused(Exception):
    """A type that cannot cross; the text says which."""


@dataclass(slots=True)
class _Reader:
    engine: int
    bridge: str = ""
    resources: list[Resource] = field(default_factory=list)
    resource_names: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    types: dict[tuple[str, str], WitType] = field(default_factory=dict)
    _types: list[int] = field(default_factory=list)
    _named: dict[Type, str] = field(default_factory=dict)
    _known: dict[Type, str] = field(default_factory=dict)
    _imported: bool = True
    _has_handles: bool = False
    _bridged: frozenset[int] = frozenset()
    _spans: bool = False

    def close(self) -> None:
        """Free the copies of resource types."""
        while self._types:
            native.delete_resource_type(self._types.pop())

    def side(self, items: Callable[[], Iterator[native.Item]], imported: bool) -> list[Endpoint]:
        """The functions among the imports or exports."""
        found: list[Endpoint] = []
        self._imported = imported
        self._bridged = frozenset(self._numbers(items()))
        for item in items():
            if item.kind == ItemKind.INSTANCE and item.name == self.bridge:
                continue
            if item.kind == ItemKind.INSTANCE:
                outside = dict(self._named)
                for inner in native.items_of_instance(item.pointer, self.engine):
                    self._one(item.name, inner, found)
                self._named = outside
            else:
                self._one("", item, found)
        return found

    def _numbers(self, items: Iterator[native.Item]) -> Iterator[int]:
        for item in items:
            if item.kind == ItemKind.INSTANCE and item.name == self.bridge:
                for inner in native.items_of_instance(item.pointer, self.engine):
                    if inner.kind == ItemKind.FUNCTION:
                        yield int(inner.name.removeprefix("f"))

    def _one(self, interface: str, item: native.Item, found: list[Endpoint]) -> None:
        if item.kind == ItemKind.FUNCTION:
            self._spans = len(found) in self._bridged
            found.append(self._function(interface, item, len(found)))
            self._spans = False
        elif item.kind == ItemKind.RESOURCE:
            if self._imported:
                number = self._resource(item.pointer, f"{interface}/{item.name}" if interface else item.name)
                self.resources.append(Resource(interface, item.name, number))
                self.types[interface, item.name] = WitType("own", (f"r{number}",))
        elif item.kind == ItemKind.TYPE:
            with self._tolerated():
                shape = self._shape(item.pointer)
                type_ = shape.type
                if self._imported:
                    self.types[interface, item.name] = shape.wit
                if isinstance(type_, Record | Variant | Flags):
                    anonymous = replace(type_, name="")
                    self._named.setdefault(anonymous, item.name)
                    self._known.setdefault(anonymous, item.name)
        elif self._imported:
            self.others.append(f"{interface}/{item.name}" if interface else item.name)

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        try:
            yield
        except _Refused:
            return

    def _function(self, interface: str, item: native.Item, number: int) -> Endpoint:
        params: list[tuple[str, Shape]] = []
        result: Shape | None = None
        self._has_handles = False
        problem = "it is async (WASI 0.3), which this version does not call" if native.is_async(item.pointer) else ""
        try:
            for name, type_ in native.parameters(item.pointer):
                params.append((name, self._shape(type_)))
            for type_ in native.result(item.pointer):
                result = self._shape(type_)
        except _Refused as refused:
            problem = problem or str(refused)
        function = Function(
            item.name,
            tuple(Param(name, shape.type) for name, shape in params),
            None if result is None else result.type,
        )
        endpoint = Endpoint(
            interface, function, tuple(shape for _, shape in params), result, problem, self._has_handles
        )
        return replace(endpoint, bridge=bridge_of(endpoint, number, self._imported)) if self._spans else endpoint

    def _resource(self, type_: int, name: str) -> int:
        for number, known in enumerate(self._types):
            if native.resource_types_equal(known, type_):
                return number
        if not self._imported:
            raise _Refused("it uses a resource that the component defines itself, which does not cross to the host")
        self._types.append(native.clone_resource_type(type_))
        self.resource_names.append(name)
        return len(self._types) - 1

    def _shape(self, valtype: int) -> Shape:
        kind, pointer = native.kind_of(valtype)
        if kind < len(ValType.SCALARS):
            return _SCALARS[kind]
        match kind:
            case ValType.LIST:
                element = self._inner("list_type_element", pointer)
                return span_shape() if self._spans and element.code == "B" else shapes.list_shape(element)
            case ValType.OPTION:
                return shapes.option_shape(self._inner("option_type_ty", pointer))
            case ValType.RESULT:
                sides = [self._side(f"result_type_{side}", pointer) for side in ("ok", "err")]
                return shapes.result_shape(*sides)
            case ValType.TUPLE:
                return shapes.tuple_shape([self._shape(one) for one in native.elements(pointer)])
            case ValType.OWN | ValType.BORROW:
                self._has_handles = True
                number = self._resource(pointer, f"resource {len(self._types)}")
                return shapes.handle_shape(number, "own" if kind == ValType.OWN else "borrow")
        return self._nominal(kind, pointer)

    def _nominal(self, kind: int, pointer: int) -> Shape:
        match kind:
            case ValType.RECORD:
                fields = [(name, self._shape(one)) for name, one in native.fields(pointer)]
                return self._with_name(lambda name: shapes.record_shape(name, fields))
            case ValType.VARIANT:
                cases = [(name, self._shape(one) if one else None) for name, one in native.cases(pointer)]
                return self._with_name(lambda name: shapes.variant_shape(name, cases))
            case ValType.ENUM:
                names = native.names("enum", pointer)
                return self._with_name(lambda name: shapes.enum_shape(name, names))
            case ValType.FLAGS:
                names = native.names("flags", pointer)
                return self._with_name(lambda name: shapes.flags_shape(name, names))
        raise _Refused(f"it uses a {ValType.OTHERS.get(kind, f'type {kind}')}, which does not cross to the host")

    def _with_name(self, make: Callable[[str], Shape]) -> Shape:
        shape = make("")
        name = self._named.get(shape.type) or self._known.get(shape.type)
        return make(name) if name else shape

    def _inner(self, kind: str, pointer: int) -> Shape:
        found = self._side(kind, pointer)
        assert found is not None
        return found

    def _side(self, kind: str, pointer: int) -> Shape | None:
        found = None
        for one in native.inner(kind, pointer):
            found = self._shape(one)
        return found


_SCALARS = [shapes.scalar_shape(Scalar(name)) for name in ValType.SCALARS]
