"""Guests on wasmtime fibers, polled by the event loop: load a module, make instances, call them.

Bytes in, bytes out: this package knows neither plain values nor actors nor NATS, and it alone imports wasmtime.
"""

from theater_bus.engine.component.component import Component
from theater_bus.engine.component.instance import ComponentInstance
from theater_bus.engine.component.world import Endpoint, World
from theater_bus.engine.engine import Engine
from theater_bus.engine.inspection import ModuleInfo, inspect, wat2wasm
from theater_bus.engine.instance import HostFunction, HostImport, Instance
from theater_bus.engine.module import Generation, Module
from theater_bus.engine.outcome import CallResult, GuestFailure
from theater_bus.engine.settings import Budget, EngineSettings, Limits
from theater_bus.engine.turn import Turn

__all__ = [
    "Budget",
    "CallResult",
    "Component",
    "ComponentInstance",
    "Endpoint",
    "Engine",
    "EngineSettings",
    "Generation",
    "GuestFailure",
    "HostFunction",
    "HostImport",
    "Instance",
    "Limits",
    "Module",
    "ModuleInfo",
    "Turn",
    "World",
    "inspect",
    "wat2wasm",
]
