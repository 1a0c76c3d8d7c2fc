"""Every subject of theater_bus, built and parsed in one place.

Invariants: a subject is built from validated names only; what `parse` accepts is what the builders can make.
Source: wire protocol, "Subjects".
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from theater_bus.core.wire.caller import Caller
from theater_bus.core.wire.function import Tails, Target, decode_tail, encode_tail
from theater_bus.core.wire.identity import is_name
from theater_bus.errors import ConfigurationError, UnknownVerb

__all__ = ["DEFAULT_NAMESPACE", "Channel", "OpsSubjects", "ParsedSubject", "Subjects", "parse_subject"]

DEFAULT_NAMESPACE = "default"
ROOT = "theater"


class Channel(Enum):
    """The second kind of token of every subject; the value is the token."""

    OPS = "ops"
    INFO = "info"
    CONTROL = "control"
    CHAIN = "chain"
    EVENTS = "events"
    POOL = "pool"
    HOST = "host"
    FLEET = "fleet"
    BEAT = "beat"


class ParsedSubject(NamedTuple):
    """A subject taken apart: `who` is empty for the fleet, `verb` for channels without one; `target` for functions."""

    namespace: str
    channel: Channel
    who: str
    verb: str
    target: Target | None


class Subjects:
    """Builds the subjects, and the names on the server, of one namespace.

    Raises `ConfigurationError` for a namespace or an id that is no name, `FunctionNotFound` for a function that no
    export can have.
    """

    __slots__ = ("_prefix", "namespace")

    def __init__(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        self.namespace = _named(namespace, "namespace")
        self._prefix = f"{ROOT}.{namespace}"

    def ops(self, actor: str, function: str, caller: Caller | None = None) -> str:
        """Calls an exported function; with `caller`, ends in the caller's token."""
        return f"{self.ops_prefix(actor)}{_tail(function, caller)}"

    def ops_prefix(self, actor: str) -> str:
        """What all operations of an actor begin with, the last dot included."""
        return f"{self._prefix}.ops.{_named(actor, 'actor id')}."

    def ops_lane(self, actor: str) -> str:
        """What an actor's host subscribes to for operations."""
        return f"{self.ops_prefix(actor)}>"

    def info(self, actor: str, query: str) -> str:
        """Asks an actor's host about it. `*` as the query is the host's subscription."""
        return f"{self._prefix}.info.{_named(actor, 'actor id')}.{_verb(query)}"

    def control(self, actor: str, verb: str) -> str:
        """Steers an actor. `*` as the verb is the host's subscription."""
        return f"{self._prefix}.control.{_named(actor, 'actor id')}.{_verb(verb)}"

    def chain(self, actor: str) -> str:
        """Where the host of a durable actor publishes batches; only hosts may."""
        return f"{self._prefix}.chain.{_named(actor, 'actor id')}"

    def events(self, actor: str) -> str:
        """Where accepted batches can be watched."""
        return f"{self._prefix}.events.{_named(actor, 'actor id')}"

    def pool(self, pool: str, function: str, caller: Caller | None = None) -> str:
        """Calls any instance of a pool."""
        return f"{self.pool_prefix(pool)}{_tail(function, caller)}"

    def pool_prefix(self, pool: str) -> str:
        """What all operations of a pool begin with, the last dot included."""
        return f"{self._prefix}.pool.{_named(pool, 'pool')}."

    def host(self, host: str, verb: str) -> str:
        """Asks one host. `*` as the verb is the host's subscription."""
        return f"{self._prefix}.host.{_named(host, 'host id')}.{_verb(verb)}"

    def fleet(self, verb: str) -> str:
        """Asks every host. `*` as the verb is the hosts' subscription."""
        return f"{self._prefix}.fleet.{_verb(verb)}"

    def beat(self, host: str) -> str:
        """Where a host's heartbeat goes; `*` as the host hears all."""
        return f"{self._prefix}.beat.{host if host == '*' else _named(host, 'host id')}"

    @property
    def chain_stream(self) -> str:
        """The JetStream stream of the namespace's chains."""
        return f"THEATER_{self.namespace}_CHAIN"

    @property
    def hosts_bucket(self) -> str:
        """The KV bucket of the hosts' leases."""
        return f"theater_{self.namespace}_hosts"

    @property
    def actors_bucket(self) -> str:
        """The KV bucket of ownership records; the key is the actor's id."""
        return f"theater_{self.namespace}_actors"

    @property
    def objects_bucket(self) -> str:
        """The object store of packages, manifests and large payloads."""
        return f"theater_{self.namespace}_objects"

    def capability_bucket(self, capability: str) -> str:
        """The KV bucket, or object store, that the actors' capabilities of this name share."""
        return f"theater_{self.namespace}_cap_{_named(capability, 'capability')}"

    @staticmethod
    def object_name(sha256: bytes) -> str:
        """The name of an object, from the 32 bytes of its digest."""
        return f"sha256-{sha256.hex()}"

    @staticmethod
    def loan_name(sha256: bytes) -> str:
        """The name of an object that a host lends for a while, apart from what is kept under its digest."""
        return f"loan-sha256-{sha256.hex()}"


class OpsSubjects:
    """Parses the subjects that arrive on one lane of operations, in one dictionary lookup when seen before.

    `prefix` is `Subjects.ops_prefix(id)` or `pool_prefix(name)`; `tails` may be shared by all lanes of a host.
    """

    __slots__ = ("_cut", "_decode", "prefix")

    def __init__(self, prefix: str, tails: Tails | None = None) -> None:
        self.prefix = prefix
        self._cut = len(prefix)
        self._decode = (Tails() if tails is None else tails).decode

    def parse(self, subject: str) -> Target:
        """The function and the caller that `subject`, which begins with the prefix, asks for.

        Raises `FunctionNotFound` for a spelling that encoding would not produce.
        """
        return self._decode(subject[self._cut :])


def parse_subject(subject: str) -> ParsedSubject | None:
    """Take any subject apart, or None when it is not one of ours. For tools; lanes use `OpsSubjects`.

    Raises `FunctionNotFound` when only the function's spelling is wrong.
    """
    root, _, rest = subject.partition(".")
    namespace, _, rest = rest.partition(".")
    token, _, rest = rest.partition(".")
    channel = _CHANNELS.get(token)
    if root != ROOT or channel is None or not is_name(namespace):
        return None
    if channel is Channel.FLEET:
        return ParsedSubject(namespace, channel, "", rest, None) if is_name(rest) else None
    who, dot, rest = rest.partition(".")
    if not is_name(who):
        return None
    if channel in _WITH_FUNCTION:
        return ParsedSubject(namespace, channel, who, "", decode_tail(rest)) if dot else None
    if channel in _WITH_VERB:
        return ParsedSubject(namespace, channel, who, rest, None) if is_name(rest) else None
    return None if dot else ParsedSubject(namespace, channel, who, "", None)


_CHANNELS = {channel.value: channel for channel in Channel}
_WITH_FUNCTION = frozenset({Channel.OPS, Channel.POOL})
_WITH_VERB = frozenset({Channel.INFO, Channel.CONTROL, Channel.HOST})


def _named(text: str, what: str) -> str:
    if is_name(text):
        return text
    raise ConfigurationError(what, f"{text[:80]!r} is not a name", "use 1 to 64 of the characters A-Z a-z 0-9 _ -")


def _verb(text: str) -> str:
    if text == "*" or is_name(text):
        return text
    raise UnknownVerb(f"{text[:80]!r} is no verb", verb=text[:80], nearest=[])


def _tail(function: str, caller: Caller | None) -> str:
    if caller is not None:
        _named(caller.id, "caller")
    return encode_tail(function, caller)
