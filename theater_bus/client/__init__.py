"""The client: `connect()` gives a `Theater`, that gives an `ActorHandle`; `connect_sync()` the same without `await`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theater_bus.client.actor import ActorHandle
    from theater_bus.client.chain import ChainView
    from theater_bus.client.connecting import connect
    from theater_bus.client.exporting import Exported
    from theater_bus.client.grants import GrantedSetting, GrantsReport
    from theater_bus.client.http import WasiHttpResponse
    from theater_bus.client.inspection import Inspection
    from theater_bus.client.results import (
        ActorMetrics,
        ActorStatus,
        ActorSummary,
        Exports,
        FunctionExport,
        HostInfo,
        HostSummary,
        InterfaceHash,
        OperationMetrics,
        OperationOutcome,
        PendingApproval,
        ResourceMetrics,
        RunningOperation,
        Whereabouts,
    )
    from theater_bus.client.streaming import CallStream
    from theater_bus.client.sugar import Calls
    from theater_bus.client.sync import SyncActorHandle, SyncTheater, connect_sync
    from theater_bus.client.theater import Theater
    from theater_bus.client.unset import UNSET

__all__ = [
    "UNSET",
    "ActorHandle",
    "ActorMetrics",
    "ActorStatus",
    "ActorSummary",
    "CallStream",
    "Calls",
    "ChainView",
    "Exported",
    "Exports",
    "FunctionExport",
    "GrantedSetting",
    "GrantsReport",
    "HostInfo",
    "HostSummary",
    "Inspection",
    "InterfaceHash",
    "OperationMetrics",
    "OperationOutcome",
    "PendingApproval",
    "ResourceMetrics",
    "RunningOperation",
    "SyncActorHandle",
    "SyncTheater",
    "Theater",
    "WasiHttpResponse",
    "Whereabouts",
    "connect",
    "connect_sync",
]

_HOME = {
    "UNSET": "unset",
    "ActorHandle": "actor",
    "CallStream": "streaming",
    "Calls": "sugar",
    "ChainView": "chain",
    "GrantedSetting": "grants",
    "GrantsReport": "grants",
    "Exported": "exporting",
    "Inspection": "inspection",
    "SyncActorHandle": "sync",
    "SyncTheater": "sync",
    "Theater": "theater",
    "WasiHttpResponse": "http",
    "connect": "connecting",
    "connect_sync": "sync",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, and with it the bus."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'results')}"), name)
    globals()[name] = value
    return value
