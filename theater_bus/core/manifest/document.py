"""The manifest of an actor: what it is, what it may use, and what happens when it fails.

Invariants: a `Manifest` holds only values that the rules accept; `canonical` is the same for the same meaning, however
the manifest was written, holds every default that was in force, and reads back as an equal manifest; `digest`
identifies it in the chain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from typing import Final

from theater_bus.core.canonical import canonical
from theater_bus.core.mailbox import Bounds
from theater_bus.core.manifest.schema import ChainSettings, HostLimits, Limits, cut
from theater_bus.core.setting import Choice, Plain, PlainValue, Switch, Text, Texts, setting
from theater_bus.core.supervision import Action, FailurePolicy

__all__ = ["Manifest"]

_TOKEN: Final = Text(r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, `_` or `-`")
_PACKAGE: Final = Text(
    r"sha256:[0-9a-f]{64}|https?://[!-~]{1,4000}#sha256=[0-9a-f]{64}|(?!sha256:|https?://)[^\x00]{1,4096}",
    "a path, `sha256:` and 64 lower-case hex digits, or `scheme://…`, where http and https end in `#sha256=` and those "
    "digits",
)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://")
_LINE: Final = Text(r"[^\x00-\x1f\x7f]{1,128}", "1 to 128 characters on one line")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read and found correct; see `parse_manifest`."""

    name: str = field(metadata=setting(_TOKEN, "what people call it; also its pool's name"))
    id: str | None = field(
        default=None,
        metadata=setting(_TOKEN, "its address; without one it is generated at spawn. The spawn's own id wins"),
    )
    version: str | None = field(default=None, metadata=setting(_LINE, "version of the actor, for people"))
    package: str | None = field(
        default=None,
        metadata=setting(
            _PACKAGE,
            "the WebAssembly module, see [the package](#the-package). The spawn's own wins",
        ),
    )
    description: str | None = field(
        default=None, metadata=setting(Text(r"[^\x00]{0,4096}", "up to 4,096 characters"), "a sentence for people")
    )
    initial_state: Plain = field(
        default=None,
        hash=False,
        metadata=setting(
            PlainValue(), "the state before the first operation, converted to the declared type; the spawn's own wins"
        ),
    )
    expose: tuple[str, ...] | None = field(
        default=None,
        metadata=setting(
            Texts(), "the only functions that may be called from outside (`interface.function`, or a bare name)"
        ),
    )
    require_caller: bool = field(
        default=False, metadata=setting(Switch(), "refuse callers whose identity nobody proves")
    )
    isolation: str | None = field(
        default=None,
        metadata=setting(
            Choice(("operation", "instance")),
            "`operation`: every operation gets a fresh instance; `instance`: it is kept between operations. "
            "Without it: `operation` for durable Pack modules, else `instance`",
        ),
    )
    on_failure: FailurePolicy = field(default_factory=FailurePolicy)
    limits: Limits = field(default_factory=Limits)
    mailbox: Bounds = field(default_factory=Bounds)
    chain: ChainSettings = field(default_factory=ChainSettings)
    capabilities: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict, hash=False)

    @property
    def package_digest(self) -> bytes | None:
        """The SHA-256 of the package where the manifest names it so."""
        if self.package is None or not self.package.startswith("sha256:"):
            return None
        return bytes.fromhex(self.package[7:])

    @property
    def package_reference(self) -> str | None:
        """The package where the manifest names it by a scheme (`https://…`, `oci://…`), which the host resolves."""
        if self.package is None or _SCHEME.match(self.package) is None:
            return None
        return self.package

    @property
    def is_durable(self) -> bool:
        """Whether the actor outlives its host's process."""
        return self.chain.durability != "memory"

    def exposes(self, function: str) -> bool:
        """Whether `function` (its name in the metadata) may be called from outside, as far as `expose` goes."""
        return self.expose is None or function in self.expose

    def isolates_operations(self, *, component: bool = False) -> bool:
        """Whether every operation gets a fresh instance."""
        if self.isolation is not None:
            return self.isolation == "operation"
        return self.is_durable and not component

    def cut(self, host: HostLimits) -> Manifest:
        """This manifest with every number at most the host's. Its digest is another one where that changed it."""
        return replace(
            self,
            limits=cut(self.limits, host, "limits"),
            mailbox=cut(self.mailbox, host, "mailbox"),
            chain=cut(self.chain, host, "chain"),
        )

    def to_plain(self) -> dict[str, Plain]:
        """Everything that is in force, defaults included, in the shape that `from_mapping` reads."""
        plain = {
            name: value
            for name, value in _plain_section(self).items()
            if name not in ("on_failure", "limits", "mailbox", "chain", "capabilities")
        }
        on_failure = _plain_section(self.on_failure)
        if self.on_failure.action != Action.RESTART.value:
            on_failure = {"action": self.on_failure.action}
        chain = _plain_section(self.chain)
        if self.is_durable:
            del chain["keep_events"], chain["keep_bytes"]
        return plain | {
            "on_failure": on_failure,
            "limits": _plain_section(self.limits),
            "mailbox": _plain_section(self.mailbox),
            "chain": chain,
            "capabilities": {name: dict(settings) for name, settings in self.capabilities.items()},
        }

    def canonical(self) -> bytes:
        """`to_plain` as msgpack with sorted keys and shortest integers: the bytes that `digest` covers."""
        return canonical(self.to_plain())

    @property
    def digest(self) -> bytes:
        """SHA-256 of `canonical()`, as the chain's genesis names it."""
        return sha256(self.canonical()).digest()


def _plain_section(section: object) -> dict[str, Plain]:
    found = {one.name: getattr(section, one.name) for one in fields(section)}  # type: ignore[arg-type]
    return {name: value for name, value in found.items() if value is not None}
