"""The hooks of theater_bus. pluggy collects; it is never on the path of a message.

Hooks register: what runs per operation is what a hook returned, composed once when the host starts. Every hook may be
implemented by any number of plugins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pluggy import HookspecMarker

from theater_bus.capability.hooks import PROJECT

if TYPE_CHECKING:
    from theater_bus.capability import (
        ActorIdentity,
        Authorizer,
        Capability,
        HostCallMiddleware,
        OperationMiddleware,
    )

__all__ = ["HOOK_NAMES", "Hookspecs"]

hookspec = HookspecMarker(PROJECT)


class Hookspecs:
    """What a plugin can implement, each with `@hookimpl` (without options) and any subset of the parameters."""

    @hookspec
    def theater_capabilities(self) -> Iterable[type[Capability]]:  # type: ignore[empty-body]
        """The capability classes that the plugin offers."""

    @hookspec
    def theater_operation_middleware(self) -> OperationMiddleware | Iterable[OperationMiddleware]:  # type: ignore[empty-body]
        """Code around every operation."""

    @hookspec
    def theater_host_call_middleware(self) -> HostCallMiddleware | Iterable[HostCallMiddleware]:  # type: ignore[empty-body]
        """Code around every host call. What it returns is what the guest sees and what is recorded."""

    @hookspec
    def theater_authorizers(self) -> Authorizer | Iterable[Authorizer]:  # type: ignore[empty-body]
        """Judges of requests; one refusal refuses."""

    @hookspec
    def theater_host_starting(self, host: str, namespace: str) -> Awaitable[None] | None:
        """A host starts; a failure stops the start and names the plugin. An awaitable is awaited, within 10 s."""

    @hookspec
    def theater_host_stopping(self, host: str, namespace: str) -> Awaitable[None] | None:
        """A host stops, after its actors. Failures are logged with the plugin's name."""

    @hookspec
    def theater_actor_starting(self, actor: ActorIdentity) -> Awaitable[None] | None:
        """An actor starts; completes before its first operation. A failure refuses the spawn."""

    @hookspec
    def theater_actor_stopping(self, actor: ActorIdentity, reason: str) -> Awaitable[None] | None:
        """An actor is about to stop; its capabilities still work."""

    @hookspec
    def theater_actor_stopped(self, actor: ActorIdentity, reason: str) -> Awaitable[None] | None:
        """An actor has stopped and is no longer reachable."""

    @hookspec
    def theater_cli(self) -> Mapping[str, str]:  # type: ignore[empty-body]
        """Subcommands: command name → `module:attribute` of a click command, imported when called.

        It gets the options of every command; `click.pass_obj` hands it what they say: `out`, `namespace`, `theater()`.
        """

    @hookspec
    def theater_package_resolvers(self) -> Mapping[str, Callable[[str], Awaitable[bytes]]]:  # type: ignore[empty-body]
        """Package schemes: scheme → `async resolve(reference) -> bytes` of the wasm module."""

    @hookspec
    def theater_telemetry(self) -> Iterable[Any]:  # type: ignore[empty-body]
        """Definitions of the telemetry registry: spans, metrics and log events of the plugin, under its own prefix."""


HOOK_NAMES = tuple(name for name in vars(Hookspecs) if name.startswith("theater_"))
