"""One capability, both worlds: what every shipped one answers a module, it answers a component that has its WIT.

The calls are the examples of each plugin's own conformance test.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from inspect import getclosurevars
from pathlib import Path
from typing import Any

import pytest

from theater_bus.client.actor import ActorHandle
from theater_bus.core.values.types import Dynamic, ResultOf, Type
from theater_bus.errors import ActorError, ActorNotFound, ChannelClosed, GuestError, ShuttingDown
from theater_bus.plugins import CapabilityType, PluginRegistry, compile_capability
from theater_bus.testing import Example, RunningHost, relay_guest, running_host
from theater_bus.testing.component_relay import relay_component
from theater_bus.testing.running import Relay
from theater_bus.testing.suite.samples import ordinary

PLUGINS = Path(__file__).parents[3] / "plugins"
TESTS = {path.parts[-3]: path for path in sorted(PLUGINS.glob("*/tests/test_*_conformance.py"))}
RACING = {"process"}
"""Whether a process takes what it is sent depends on how far it has come."""
GONE = (ActorNotFound, ChannelClosed, ShuttingDown)

pytestmark = pytest.mark.timeout(300)


def case_of(path: Path) -> tuple[type[Any], dict[str, Any]]:
    """The capability that a conformance test is about, and its options."""
    name = f"component_{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getclosurevars(module.test_conformance).nonlocals
    return found["cls"], dict(found["options"])


class Caller:
    """An actor that relays to a capability, as a module or as a component, and what its calls come to."""

    def __init__(self, host: RunningHost, type_: CapabilityType, options: dict[str, Any], relay: Relay) -> None:
        self.host, self.type, self.options, self.relay = host, type_, options, relay
        self.actors: list[ActorHandle] = []

    async def spawn(self) -> None:
        """Start the actor that the next calls are made of."""
        handlers = self.options.get("handlers")
        wasm = await asyncio.to_thread(self.relay, self.type.cls, handlers=handlers)
        capabilities = {**self.options.get("beside", {}), self.type.name: dict(self.options.get("settings") or {})}
        if handlers is not None:
            capabilities[handlers.name] = {}
        self.actors.append(await self.host.spawn(wasm, capabilities=capabilities, **self.options.get("spawn", {})))

    async def call(self, example: Example) -> str:
        """How a call ends: `ok` and the kind of value, `err`, the code of an error, or `gone`."""
        function = next(one for one in self.type.functions.values() if one.name == example.function).declaration
        args = [self._given(param.type, value) for param, value in zip(function.params, example.args, strict=True)]
        try:
            value = await self.actors[-1].call_function(example.function, args)
        except GuestError:
            return "err"
        except GONE:
            await self.spawn()
            return "gone"
        except ActorError as error:
            return error.code
        if isinstance(function.result, ResultOf) and function.params:
            [side] = value  # how a relaying guest passes a result on
            if "err" in side:
                return "err"
            value = side["ok"]
        if isinstance(function.result, Dynamic) or value in (None, []):
            return "ok"  # JSON text for a component; nothing, which a module has as a tuple
        return f"ok: {type(value).__name__}"

    def _given(self, type_: Type, value: Any) -> Any:
        return json.dumps(value) if self.relay is relay_component and isinstance(type_, Dynamic) else value


async def outcomes(path: Path, folder: Path, relay: Relay) -> dict[str, str]:
    """What the examples come to; every call of them is recorded and can be replayed."""
    cls, options = case_of(path)
    type_ = await asyncio.to_thread(compile_capability, "the capability under test", cls)
    installed = {options.get("plugin") or path.parts[-3], *options.get("installed", ())}
    settings = {"data_dir": folder, **options.get("host", {})}
    handlers = [options["handlers"]] if options.get("handlers") else []
    async with running_host(*handlers, installed=installed, **settings) as host:
        around = options["prepare"](host) if options.get("prepare") else contextlib.nullcontext()
        async with around as prepared:
            caller = Caller(host, type_, options | dict(prepared or {}), relay)
            await caller.spawn()
            shown = [*caller.options.get("examples", ())]
            known = {example.function for example in shown}
            for one in type_.functions.values():
                if one.name not in known:
                    shown.append(Example(one.name, *[ordinary(param.type) for param in one.declaration.params]))
            found = {f"{place} {example.function}": await caller.call(example) for place, example in enumerate(shown)}
            for actor in caller.actors:
                with contextlib.suppress(*GONE):
                    report = await host.replay(actor)
                    assert report.is_identical, report
            return found


@pytest.mark.parametrize("name", TESTS)
async def test_a_component_gets_of_every_capability_what_a_module_gets(name: str, tmp_path: Path) -> None:
    module = await outcomes(TESTS[name], tmp_path / "module", relay_guest)
    component = await outcomes(TESTS[name], tmp_path / "component", relay_component)
    if name in RACING:
        module, component = (
            dict.fromkeys(module, "answered"),
            {call: "answered" if outcome.startswith(("ok", "err")) else outcome for call, outcome in component.items()},
        )
    assert component == module


def test_every_capability_with_a_pact_is_among_them() -> None:
    shipped = {one.name for one in PluginRegistry.discover().capabilities.values() if one.functions}
    assert {case_of(path)[0].name for path in TESTS.values()} >= shipped
