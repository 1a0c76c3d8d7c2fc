"""The actor's manifest: read strictly, cut by the host, identified by its digest."""

from theater_bus.core.mailbox import Bounds
from theater_bus.core.manifest.document import Manifest
from theater_bus.core.manifest.reading import CAPABILITY_NAME, from_mapping, parse_manifest, resolve_manifest
from theater_bus.core.manifest.schema import PAGE_BYTES, SECTIONS, ChainSettings, Cut, HostLimits, Limits, cut, cuts
from theater_bus.core.manifest.variables import Given, Variables
from theater_bus.core.supervision import FailurePolicy

__all__ = [
    "CAPABILITY_NAME",
    "PAGE_BYTES",
    "SECTIONS",
    "Bounds",
    "ChainSettings",
    "Cut",
    "FailurePolicy",
    "Given",
    "HostLimits",
    "Limits",
    "Manifest",
    "Variables",
    "cut",
    "cuts",
    "from_mapping",
    "parse_manifest",
    "resolve_manifest",
]
