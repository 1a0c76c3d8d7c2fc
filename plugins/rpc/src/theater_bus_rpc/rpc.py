"""`theater:simple/rpc`, compatible with guests built for Theater, and imports that are bound to other actors.

Invariants: an actor is called only where the grant `calls` names it and the function; what is bound exports every
function that the guest imports, with the same signature; bindings change with the operation that changes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import Field, field_validator

from theater_bus import ActorError
from theater_bus.capability import (
    NUMBER,
    STRINGS,
    SUBJECTS,
    Capability,
    CapabilityError,
    Context,
    Loose,
    err_value,
    exact,
    exact_value,
    ok_value,
    parameters,
    plain_value,
)
from theater_bus.capability import Settings as BaseSettings
from theater_bus.errors import GuestError

__all__ = ["Rpc"]

TIMEOUT = ("timeout-ms", "timeout_ms", "timeoutMs")


class Rpc(Capability):
    """Calls of other actors."""

    name = "rpc"
    pact = "rpc.pact"

    class Settings(BaseSettings):
        """`[capabilities.rpc]`."""

        calls: Annotated[tuple[str, ...], SUBJECTS] = ()
        imports: Annotated[tuple[str, ...], STRINGS] = ()
        timeout_ms: Annotated[int, NUMBER, Field(ge=1, le=3_600_000)] = 30_000

        @field_validator("imports")
        @classmethod
        def _not_ours(cls, given: tuple[str, ...]) -> tuple[str, ...]:
            for one in given:
                if one.startswith("theater:"):
                    raise ValueError(f"{one!r} is an interface of capabilities, and is not bound to actors")
            return given

    @classmethod
    def adopts(cls, settings: Any, interface: str) -> bool:
        """Take the imports that the manifest names."""
        return interface in settings.imports

    def __init__(self, context: Context, settings: Settings) -> None:
        super().__init__(context, settings)
        self._allowed = SUBJECTS.read(list(settings.calls))
        self._bound: dict[str, str] = {}

    async def start(self) -> None:
        """Let go of what the grants do not allow (any more)."""
        for interface in set(self._bound) - set(self.settings.imports):
            del self._bound[interface]

    # -- theater:simple/rpc --------------------------------------------------------------------------------------------

    @exact
    async def call(self, actor_id: str, function: str, params: bytes | Loose, options: bytes | Loose) -> bytes:
        """Call a function of another actor by name."""
        try:
            self._check(actor_id, function)
            limit_ms = self._limit_ms(options.plain if isinstance(options, Loose) else plain_value(options))
            if isinstance(params, Loose):
                given = params.plain
                listed = given if isinstance(given, list) else [] if given is None else [given]
                answer = await self.context.call_actor(actor_id, function, listed, timeout_ms=limit_ms)
                return ok_value(exact_value(answer))
            return ok_value(await self.context.call_exact(actor_id, function, parameters(params), timeout_ms=limit_ms))
        except ActorError as error:
            return err_value(_text(error))
        except CapabilityError as error:
            return err_value(str(error.value))

    @exact
    async def implements(self, actor_id: str, interface: str) -> bytes:
        """Whether an actor offers an interface; one that this actor imports with the same signatures."""
        try:
            theirs = await self._theirs(actor_id, interface)
        except CapabilityError as error:
            return err_value(str(error.value))
        return ok_value(exact_value(bool(theirs) and not self._difference(interface, theirs)))

    @exact
    async def exports(self, actor_id: str) -> bytes:
        """What an actor offers to callers."""
        try:
            functions = await self._exports(actor_id)
        except CapabilityError as error:
            return err_value(str(error.value))
        return ok_value(exact_value(sorted({name.rpartition(".")[0] or name for name in functions})))

    # -- theater:bus/rpc -----------------------------------------------------------------------------------------------

    async def bind(self, interface: str, actor_id: str) -> None:
        """Have the calls of an imported interface go to an actor."""
        self._check_import(interface)
        for function in self.context.imported(interface):
            self._check(actor_id, f"{interface}.{function}")
        theirs = await self._theirs(actor_id, interface)
        if not theirs:
            raise CapabilityError(f"actor {actor_id!r} has no interface {interface!r} for its callers")
        difference = self._difference(interface, theirs)
        if difference:
            raise CapabilityError(
                f"{interface}.{difference} of actor {actor_id!r} is missing or has another signature than this actor "
                "imports. Fix: build both against one pact"
            )
        self._change(interface, actor_id)

    def unbind(self, interface: str) -> None:
        """Have the calls of an interface go nowhere."""
        if interface not in self._bound:
            raise CapabilityError(f"{interface[:80]!r} is not bound")
        self._change(interface, None)

    def is_bound(self, interface: str) -> bool:
        """Whether the calls of an interface go somewhere."""
        return interface in self._bound

    def bound_to(self, interface: str) -> str | None:
        """The actor that the calls of an interface go to."""
        return self._bound.get(interface)

    def _change(self, interface: str, actor_id: str | None) -> None:
        before = self._bound.get(interface)
        self._set(interface, actor_id)
        self.context.on_operation_end(partial(self._changed, interface, before))
        self.context.snapshot_changed()

    def _changed(self, interface: str, before: str | None, took_effect: bool) -> None:
        if not took_effect:
            self._set(interface, before)

    def _set(self, interface: str, actor_id: str | None) -> None:
        if actor_id is None:
            self._bound.pop(interface, None)
        else:
            self._bound[interface] = actor_id

    async def call_import(self, interface: str, function: str, params: bytes) -> bytes:
        """A call of a bound interface."""
        self._check_import(interface)
        actor_id = self._bound.get(interface)
        if actor_id is None:
            raise CapabilityError(f"{interface} is not bound to an actor. Fix: call theater:bus/rpc.bind first")
        name = f"{interface}.{function}"
        self._check(actor_id, name)
        try:
            return await self.context.call_exact(actor_id, name, params, timeout_ms=self.settings.timeout_ms)
        except GuestError as error:
            raise CapabilityError(error.details.get("value", error.message)) from error
        except ActorError as error:
            raise CapabilityError(_text(error)) from error

    # -- what they all need --------------------------------------------------------------------------------------------

    def _check(self, actor_id: str, function: str) -> None:
        """Refuse what the grant does not name."""
        interface, _, name = function.rpartition(".")
        if interface.startswith("theater:"):
            raise CapabilityError(f"{function[:160]} is reached by hosts and capabilities only")
        tokens = [actor_id, *(one.replace(".", "%2E") for one in (interface, name) if one)]
        wanted = ".".join(tokens)
        try:
            allowed = self._allowed.allows(wanted)
        except ValueError:
            allowed = False
        # A pattern as a name would lie within itself.
        if not allowed or any(one in ("*", ">") for one in tokens):
            raise CapabilityError(
                f"the grant rpc.calls does not name {wanted[:160]!r}. Fix: `calls = [{json.dumps(wanted[:160])}]` in "
                "[capabilities.rpc]"
            )

    def _check_import(self, interface: str) -> None:
        if interface not in self.settings.imports:
            raise CapabilityError(
                f"the grant rpc.imports does not name {interface[:160]!r}. Fix: `imports = "
                f"[{json.dumps(interface[:160])}]` in [capabilities.rpc], for an interface that the package imports"
            )
        if not self.context.imported(interface):
            raise CapabilityError(f"this actor does not import {interface}")

    async def _exports(self, actor_id: str) -> Mapping[str, bytes]:
        try:
            found = await self.context.exports_of(actor_id)
        except ActorError as error:
            raise CapabilityError(_text(error)) from error
        return {name: digest for name, digest in found.items() if self._may_know(actor_id, name)}

    def _may_know(self, actor_id: str, function: str) -> bool:
        try:
            self._check(actor_id, function)
        except CapabilityError:
            return False
        return True

    async def _theirs(self, actor_id: str, interface: str) -> Mapping[str, bytes]:
        """The functions of an interface at another actor, with the hashes of their signatures."""
        found = await self._exports(actor_id)
        named = ((name.rpartition("."), digest) for name, digest in found.items())
        return {function: digest for (of, _, function), digest in named if of == interface}

    def _difference(self, interface: str, theirs: Mapping[str, bytes]) -> str:
        """The first function that this actor imports and the other has not alike."""
        own = self.context.imported(interface)
        return next((name for name, digest in own.items() if theirs.get(name) != digest), "")

    def _limit_ms(self, options: Any) -> int:
        """The limit of a call: what the options say, at most what the setting says."""
        given = options.get("some", options) if isinstance(options, dict) else options
        if given is None or given == []:
            return int(self.settings.timeout_ms)
        asked: Any = None
        if isinstance(given, dict) and len(given) == 1:
            asked = next((given[name] for name in TIMEOUT if name in given), self)
            asked = asked.get("some", asked) if isinstance(asked, dict) else asked
        if asked is None:
            return int(self.settings.timeout_ms)
        if not isinstance(asked, int) or isinstance(asked, bool) or asked < 1:
            raise CapabilityError("the options are nothing, or a record with timeout-ms, 1 or more")
        return min(asked, int(self.settings.timeout_ms))

    # -- its life ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes | None:
        """What is bound to whom."""
        return json.dumps(self._bound, separators=(",", ":")).encode() if self._bound else None

    def restore(self, snapshot: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = json.loads(snapshot)
        if not isinstance(found, dict):
            raise ValueError("this is no snapshot of rpc")
        self._bound = {str(interface): str(actor_id) for interface, actor_id in found.items()}


def _text(error: ActorError) -> str:
    return f"{error.code}: {error.message}"
