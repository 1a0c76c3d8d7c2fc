"""A package as a replay runs it: functions, bytes in, bytes out, and host calls that somebody answers.

`ReplayGuest` is all that a replay knows of guests; `load_pack_guest` makes one of a Pack module or a component.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from theater_bus.core.chain.divergence import Ended, Failed, Returned
from theater_bus.core.manifest import Manifest
from theater_bus.core.values.cgrf import parse
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.export_table import Export
from theater_bus.core.values.types import TupleOf, Unit
from theater_bus.core.values.wit import client_name
from theater_bus.engine import (
    Budget,
    CallResult,
    Component,
    ComponentInstance,
    Endpoint,
    Engine,
    GuestFailure,
    HostImport,
    Instance,
    Limits,
)
from theater_bus.errors import ActorError, FunctionNotFound
from theater_bus.host.failure import code_of, of_message, of_result
from theater_bus.host.front import handles_of
from theater_bus.host.package import FunctionEntry, Package, read_package
from theater_bus.plugins import unversioned
from theater_bus.telemetry import Telemetry

__all__ = ["NO_ANSWER", "Answer", "LoadGuest", "ReplayGuest", "Stopped", "guest_of", "load_pack_guest"]

NO_ANSWER: Final = value_codec(Unit()).encode(None).standalone()
"""What a guest gets where nothing is recorded (`log`, a call that ended its operation)."""

UNKNOWN_CPU_MS: Final = 20_000.0
"""A limit of CPU time is an imposed end, which is not replayed; this bound, or four times the manifest's, only ends
what would never end, on a machine that may be slower than the recording one.
"""

Answer: TypeAlias = Callable[[str, str, bytes], bytes]
"""The answer to a host call, by interface, function and input. Raises `Stopped` to end the guest's call."""


class Stopped(Exception):
    """There is no answer: the guest's call ends here."""


class ReplayGuest(Protocol):
    """A loaded package. One call at a time."""

    @property
    def sha256(self) -> bytes:
        """Digest of the package's bytes, 32 bytes."""
        ...

    async def run(self, function: str, state: bytes | None, params: bytes, answer: Answer) -> Ended | None:
        """Call a function by its recorded name with canonical bytes; None when `answer` stopped it."""
        ...

    def renew(self) -> None:
        """Give the instance up: the next call gets a fresh one."""
        ...


class LoadGuest(Protocol):
    """Makes the guest of a package's bytes; `manifest` is the recorded one, None where it is not known."""

    async def __call__(self, engine: Engine, wasm: bytes, manifest: Manifest | None) -> ReplayGuest:
        """Load it. Raises `SpawnRefused` for what is no package."""
        ...


async def load_pack_guest(engine: Engine, wasm: bytes, manifest: Manifest | None) -> ReplayGuest:
    """The guest in a module or component, with the manifest's limits of memory and results. Raises `SpawnRefused`."""
    package = read_package(await engine.load(wasm))
    if manifest is None:
        return guest_of(engine, package, Limits(), Budget(UNKNOWN_CPU_MS), is_fresh_each_time=False)
    given = manifest.limits
    limits = Limits(given.memory_bytes, given.table_elements, given.result_bytes, given.decode_nodes)
    is_fresh = manifest.isolates_operations(component=package.is_component)
    return guest_of(engine, package, limits, Budget(4 * given.cpu_ms), is_fresh_each_time=is_fresh)


def guest_of(
    engine: Engine, package: Package, limits: Limits, budget: Budget, *, is_fresh_each_time: bool
) -> ReplayGuest:
    """The guest in a package that is loaded."""
    return _PackGuest(engine, package, limits, budget, is_fresh_each_time=is_fresh_each_time)


class _PackGuest:
    """A guest whose imports are all answered by the replay."""

    def __init__(
        self, engine: Engine, package: Package, limits: Limits, budget: Budget, *, is_fresh_each_time: bool
    ) -> None:
        self._engine, self._package, self._limits, self._budget = engine, package, limits, budget
        self._is_fresh_each_time = is_fresh_each_time
        self._instance: Instance | ComponentInstance | None = None
        self._answer: Answer = _nobody
        self._entries: dict[str, FunctionEntry] = {}
        self._telemetry = Telemetry.silent()
        self._imports = [HostImport(i, f, self._import(i, f)) for i, f in package.module.imports]

    @property
    def sha256(self) -> bytes:
        """Digest of the module's bytes."""
        return self._package.sha256

    async def run(self, function: str, state: bytes | None, params: bytes, answer: Answer) -> Ended | None:
        """See `ReplayGuest.run`."""
        self._answer = answer
        front = self._front(function)
        if front is not None:
            return await self._run_front(front)
        try:
            entry = self._entry(function)
            data = entry.codec.call_input(None if state is None else parse(state), entry.codec.check_params(params))
            result = await self._call(entry.symbol, data)
        except ActorError as error:
            return Failed(error.code, error.details.get("reason"))
        if result.failure is not None or self._is_fresh_each_time:
            self.renew()
        return _ended(entry, result)

    def renew(self) -> None:
        """See `ReplayGuest.renew`."""
        if self._instance is not None:
            self._instance.close()
            self._instance = None

    async def _call(self, symbol: str, data: bytes) -> CallResult:
        instance = self._instance
        if instance is None:
            instance = self._instance = self._engine.instantiate_now(self._package.module, self._imports, self._limits)
        ended: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        result = instance.call(symbol, data, self._budget, ended.set_result)
        try:
            return await ended if result is None else result
        except asyncio.CancelledError:
            self.renew()
            raise

    def _front(self, function: str) -> Endpoint | None:
        """The export behind a front: what callers passed and got is no part of it, only its host calls are."""
        module = self._package.module
        if not isinstance(module, Component) or function in self._package.exports:
            return None
        endpoints = [crossing.endpoint for crossing in module.functions.values() if crossing.endpoint.has_handles]
        names = {f"{unversioned(one.interface)}.{one.function.name}": one for one in endpoints}
        return names.get(function)

    async def _run_front(self, front: Endpoint) -> Ended | None:
        types = tuple(param.type for param in front.function.params)
        data = value_codec(TupleOf(types)).encode(handles_of(len(types))).standalone()
        result = await self._call(front.name, data)
        if result.failure is not None or self._is_fresh_each_time:
            self.renew()
        return Returned(None, None) if result.failure is None else _failed(result.failure)

    def _entry(self, function: str) -> FunctionEntry:
        entry = self._entries.get(function)
        if entry is None:
            export = self._export(function)
            if export is None:
                raise FunctionNotFound(f"the package has no function {function!r}")
            spec = self._telemetry.function_spec(function, "replay")
            entry = self._entries[function] = FunctionEntry(export, spec, 0, tupled=self._package.is_component)
        return entry

    def _export(self, function: str) -> Export | None:
        """The export of that name. A capability's own name for a component's is recorded: see `under_claimed_names`."""
        interface, _, name = function.rpartition(".")
        exports = self._package.exports
        return exports.get(function) or exports.get(f"{client_name(interface)}.{name}")

    def _import(self, interface: str, function: str) -> Callable[[bytes], bytes]:
        def call(data: bytes) -> bytes:
            return self._answer(interface, function, data)

        return call


def _ended(entry: FunctionEntry, result: CallResult) -> Ended | None:
    if result.failure is not None:
        return _failed(result.failure)
    output = result.output or b""
    if result.status != 0:
        return Failed(of_message(entry, output).code)
    try:
        outcome = entry.codec.decode_result(output)
    except ActorError as refused:
        return Failed(of_result(entry, output, refused).code)
    value = outcome.value.standalone()
    if not outcome.ok:
        return Failed("guest-error", None, value)
    return Returned(value, None if outcome.state is None else outcome.state.standalone())


def _failed(failure: GuestFailure) -> Ended | None:
    if isinstance(failure.exception, Stopped):
        return None
    return Failed(*code_of(failure))


def _nobody(interface: str, function: str, data: bytes) -> bytes:
    raise Stopped(f"{interface}.{function} outside of a call")
