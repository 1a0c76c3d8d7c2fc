"""Where the manifest and the module of a child come from: what the guest hands over, or names."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from theater_bus.capability import CapabilityError, Context, refusals

__all__ = ["Source"]

MANIFEST_BYTES = 64 * 1024
_REFERENCE = re.compile(r"sha256:\S*|[a-z][a-z0-9+.-]*://\S+")


class Source:
    """Resolves references within the grants `schemes` and `ids`."""

    def __init__(self, context: Context, schemes: tuple[str, ...] | str, ids: tuple[str, ...] | str) -> None:
        self._context = context
        self._schemes = schemes
        self._ids = ids

    async def manifest(self, given: str) -> str:
        """The text of a manifest that is given as text or by reference. Raises `CapabilityError`."""
        if _REFERENCE.fullmatch(given):
            data = await self._fetch(given)
            if len(data) > MANIFEST_BYTES:
                raise CapabilityError(f"{given} has {len(data):,} bytes, a manifest at most {MANIFEST_BYTES:,}")
            try:
                return data.decode()
            except UnicodeDecodeError:
                raise CapabilityError(f"{given} is no manifest: it is not UTF-8") from None
        if "=" not in given:
            raise CapabilityError(
                f"{given[:120]!r} is no manifest; an actor may name no path. Fix: give the manifest's text, "
                "`sha256:…` of what the host has, or `scheme://…`"
            )
        if len(given.encode("utf-8", "replace")) > MANIFEST_BYTES:
            raise CapabilityError(f"a manifest has at most {MANIFEST_BYTES:,} bytes")
        return given

    async def package(self, manifest: str, given: bytes | None) -> bytes:
        """The module: what is given, else what the manifest names. Raises `CapabilityError`."""
        found = _top(manifest)
        self._check_id(found.get("id"))
        if given is not None:
            return given
        named = found.get("package")
        if not isinstance(named, str):
            raise CapabilityError('there is no module. Fix: pass its bytes, or `package = "sha256:…"` in the manifest')
        return await self._fetch(named)

    def _check_id(self, child: Any) -> None:
        """An actor names its children below itself, or as it was granted: else it could take any name of others."""
        own = self._context.actor.id
        if not isinstance(child, str) or child.startswith(f"{own}-") or self._ids == "unlimited" or child in self._ids:
            return
        raise CapabilityError(
            f"the grant supervisor.ids does not name {child[:64]!r}. Fix: an id that begins with `{own}-`, no id, or "
            f'`ids = ["{child[:64]}"]` in [capabilities.supervisor]'
        )

    async def _fetch(self, reference: str) -> bytes:
        scheme, found, _ = reference.partition("://")
        if found and self._schemes != "unlimited" and scheme not in self._schemes:
            raise CapabilityError(
                f"the grant supervisor.schemes does not name {scheme[:64]!r}. Fix: "
                f'`schemes = ["{scheme[:64]}"]` in [capabilities.supervisor], or name it by its SHA-256'
            )
        with refusals():
            return await self._context.children.fetch(reference)


def _top(manifest: str) -> dict[str, Any]:
    try:
        return tomllib.loads(manifest)
    except (ValueError, RecursionError) as error:
        raise CapabilityError(f"the manifest is not TOML: {error}") from None
