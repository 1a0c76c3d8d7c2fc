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
from theater_bus.testing.suite.samples import ordinary

from .relay import relay_component

PLUGINS = Path(__file__).parents[3] / "plugins"
TESTS = {path.parts[-3]: path for path in sorted(PLUGINS.glob("*/tests/test_*_conformance.py"))}
CALLING_BACK = {"loop"}
"""What it is for are exports that it calls, which a relaying guest does not have; both kinds are told so."""
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

    def __init__(
        self, host: RunningHost, type_: CapabilityType, options: dict[str, Any], *, as_component: bool
    ) -> None:
        self.host, self.type, self.options, self.is_component = host, type_, options, as_component
        self.actors: list[ActorHandle] = []
        self.names: dict[str, str] = {}

    async def spawn(self) -> None:
        """Start the actor that the next calls are made of."""
        if self.is_component:
            wasm, self.names = await asyncio.to_thread(relay_component, self.type)
        else:
            wasm = await asyncio.to_thread(relay_guest, self.type.cls)
        given = {key: value for key, value in self.options.get("spawn", {}).items() if key != "state"}
        capabilities = {**self.options.get("beside", {}), self.type.name: dict(self.options.get("settings") or {})}
        self.actors.append(await self.host.spawn(wasm, capabilities=capabilities, **given))

    async def call(self, example: Example) -> str:
        """How a call ends: `ok` and the kind of value, `err`, the code of an error, or `gone`."""
        function = next(one for one in self.type.functions.values() if one.name == example.function).declaration
        args = [self._given(param.type, value) for param, value in zip(function.params, example.args, strict=True)]
        try:
            value = await self.actors[-1].call_function(self.names.get(example.function, example.function), args)
        except GuestError:
            return "err"
        except GONE:
            await self.spawn()
            return "gone"
        except ActorError as error:
            return error.code
        if isinstance(function.result, ResultOf) and function.params and not self.is_component:
            [side] = value  # how a relaying module passes a result on
            if "err" in side:
                return "err"
            value = side["ok"]
        if isinstance(function.result, Dynamic) or value in (None, []):
            return "ok"  # JSON text for one of them; nothing, which a module has as a tuple
        return f"ok: {type(value).__name__}"

    def _given(self, type_: Type, value: Any) -> Any:
        return json.dumps(value) if self.is_component and isinstance(type_, Dynamic) else value


async def outcomes(path: Path, folder: Path, *, as_component: bool) -> dict[str, str]:
    """What the examples come to. Of a component, too, every call is recorded and can be replayed."""
    cls, options = case_of(path)
    type_ = await asyncio.to_thread(compile_capability, "the capability under test", cls)
    installed = {options.get("plugin") or path.parts[-3], *options.get("installed", ())}
    settings = {"data_dir": folder, **options.get("host", {})}
    async with running_host(installed=installed, **settings) as host:
        around = options["prepare"](host) if options.get("prepare") else contextlib.nullcontext()
        async with around as prepared:
            caller = Caller(host, type_, options | dict(prepared or {}), as_component=as_component)
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
    module = await outcomes(TESTS[name], tmp_path / "module", as_component=False)
    component = await outcomes(TESTS[name], tmp_path / "component", as_component=True)
    assert component == module
    if name not in CALLING_BACK:
        assert any(outcome.startswith("ok") for outcome in component.values())


def test_every_capability_with_a_pact_is_among_them() -> None:
    shipped = {one.name for one in PluginRegistry.discover().capabilities.values() if one.functions}
    assert {case_of(path)[0].name for path in TESTS.values()} >= shipped
