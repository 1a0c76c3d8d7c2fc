"""What an actor may use: what its host allows, cut down by what its parent has and what its manifest asks for.

A host's policy names capabilities, each with bounds; a setting that it leaves out is not bounded, a capability that it
leaves out is refused, unless `"*"` stands for the rest:

    [grants.http-client]
    hosts = ["*.example.com"]
    [grants."*"]

Without a policy a host allows everything. Source: plugins, "Grants".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from theater_bus.capability import Capability, Settings
from theater_bus.core.grants import ALL, OWN, UNLIMITED, Effective, Grant, Grants, intersect
from theater_bus.core.setting import Plain
from theater_bus.errors import ConfigurationError, SpawnRefused

if TYPE_CHECKING:
    from theater_bus.plugins import CapabilityType

__all__ = ["Granted", "Policy", "grant", "read_policy", "read_settings"]

Policy = Mapping[str, Mapping[str, Any]]
"""Capability → setting → bound, as a TOML file or `HostSettings.grants` holds it."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What one actor may use, where it comes from, and each capability's settings made of it."""

    effective: Effective
    settings: Mapping[str, Settings]

    @property
    def grants(self) -> Grants:
        """What remains of all sides."""
        return self.effective.grants

    def plain(self, capability: str) -> dict[str, Any]:
        """The settings of a capability as plain values."""
        return self.settings[capability].model_dump(mode="json")


def read_policy(policy: Policy | None, capabilities: Mapping[str, CapabilityType]) -> Grants:
    """The grants of a host with this policy. Raises `ConfigurationError` for what no capability of it has."""
    if policy is None:
        return ALL
    grants: dict[str, Grant | None] = {}
    for name, bounds in policy.items():
        if name != "*":
            grants[name] = _policy_grant(name, bounds, capabilities)
        elif bounds:
            raise ConfigurationError("grants.*", "it holds bounds", "name the capability that they are for")
    return Grants(grants, Grant({}, UNLIMITED) if "*" in policy else None)


def grant(
    capabilities: Sequence[CapabilityType],
    asked: Mapping[str, Mapping[str, Plain]],
    host: Grants,
    parent: Grants,
    recorded: bool = False,
) -> Granted:
    """What remains of the settings that a manifest asks for. Raises `SpawnRefused`, saying what to add where.

    `parent` is what the actor's parent has, `ALL` for an actor without one; for a recovery, what was `recorded`.
    """
    named = [one for one in capabilities if one.name in asked]
    wanted = {c.name: _settings(c.name, c.cls, asked[c.name]).model_dump(mode="json") for c in named}
    manifest = Grants({c.name: _asked(c, wanted[c.name]) for c in named})
    effective = intersect(host, parent, manifest, "record" if recorded else "parent")
    effective.require()
    # What the manifest does not name grants nothing, and so needs no grant itself.
    settings: dict[str, Settings] = {one.name: one.cls.Settings() for one in capabilities if one.name not in asked}
    for capability in named:
        name, kinds = capability.name, capability.cls.grant_bounds()
        given = effective.grants.of(name)
        assert given is not None
        own = {setting: wanted[name][setting] for setting, kind in kinds.items() if kind is OWN}
        settings[name] = _settings(name, capability.cls, given.settings(kinds) | own, "after the grants' cuts, ")
    return Granted(effective, settings)


def _policy_grant(name: str, bounds: Mapping[str, Any], capabilities: Mapping[str, CapabilityType]) -> Grant:
    capability = capabilities.get(name)
    if capability is None:
        near = get_close_matches(name, capabilities, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(
            f"grants.{name}", f"no plugin of this host offers it{hint}", "install the plugin, or remove the entry"
        )
    kinds = capability.cls.grant_bounds()
    for setting in bounds:
        if kinds.get(setting) is OWN:
            raise ConfigurationError(
                f"grants.{name}.{setting}", "it is each actor's own choice, and no grant", "remove it"
            )
    try:
        return Grant.read(bounds, kinds, others=UNLIMITED)
    except ValueError as error:
        raise ConfigurationError(f"grants.{name}", str(error)) from None


def _asked(capability: CapabilityType, settings: Mapping[str, Plain]) -> Grant:
    try:
        return Grant.read(settings, capability.cls.grant_bounds())
    except ValueError as error:
        raise SpawnRefused(f"[capabilities.{capability.name}]: {error}", capability=capability.name) from None


def read_settings(capability: CapabilityType, given: Mapping[str, Plain]) -> Settings:
    """The settings that a manifest asks for. Raises `SpawnRefused`."""
    return _settings(capability.name, capability.cls, given)


def _settings(name: str, cls: type[Capability], given: Mapping[str, Plain], when: str = "") -> Settings:
    try:
        return cls.Settings.model_validate(dict(given))
    except ValidationError as error:
        known = sorted(cls.Settings.model_fields)
        found = error.errors(include_url=False)
        problems = "; ".join(f"{'.'.join(map(str, one['loc'])) or name}: {_problem(one, known)}" for one in found)
        fix = f"its settings are {', '.join(known)}" if known else "it has no settings; leave them out"
        raise SpawnRefused(f"[capabilities.{name}]: {when}{problems}. Fix: {fix}", capability=name) from None


def _problem(one: Mapping[str, Any], known: Sequence[str]) -> str:
    if one["type"] == "extra_forbidden":
        near = get_close_matches(str(one["loc"][-1]), known, n=1)
        return "is no setting" + (f", did you mean {near[0]}?" if near else "")
    return f"{one['msg']} (found {one['input']!r:.60})"
