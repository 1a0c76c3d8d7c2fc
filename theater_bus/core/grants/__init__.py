"""Who may do what: bounds that can be intersected, grants made of them, and what remains of host, parent, manifest."""

from theater_bus.core.grants.bound import NOTHING, UNLIMITED, Bound, Exactly, Flag, Number, Patterns
from theater_bus.core.grants.effective import Effective, Explanation, intersect
from theater_bus.core.grants.grant import ALL, Grant, Grants
from theater_bus.core.grants.kind import (
    ENDPOINTS,
    EXACT,
    FLAG,
    HOSTS,
    NUMBER,
    OWN,
    PATHS,
    SECRETS,
    STRINGS,
    SUBJECTS,
    Kind,
)

__all__ = [
    "ALL",
    "ENDPOINTS",
    "EXACT",
    "FLAG",
    "HOSTS",
    "NOTHING",
    "NUMBER",
    "OWN",
    "PATHS",
    "SECRETS",
    "STRINGS",
    "SUBJECTS",
    "UNLIMITED",
    "Bound",
    "Effective",
    "Exactly",
    "Explanation",
    "Flag",
    "Grant",
    "Grants",
    "Kind",
    "Number",
    "Patterns",
    "intersect",
]
