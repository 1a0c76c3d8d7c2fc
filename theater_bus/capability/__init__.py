"""The public API for people who write capabilities and other plugins. Versioned: `API`.

A plugin is a distribution with an entry point in the group `theater_bus` that names a module; the module's functions
marked with `hookimpl` are its hooks. A capability is one pact file and one class:

    class Clock(Capability):
        name = "clock"
        pact = "clock.pact"          # beside the module

        async def now(self) -> int:  # `now: func() -> u64` in the pact
            return self.context.clock.unix_ns()

What this package exports stays compatible within one `API` number; a plugin states the number it was written for with
`requires_api` in its module.
"""

from theater_bus.capability.address import is_public, plain_address, resolve
from theater_bus.capability.bus import (
    BusMessage,
    BusSubscription,
    CapabilityBus,
    Consumer,
    KeyValue,
    KeyValueEntry,
    ObjectEntry,
    Objects,
    StreamAck,
    StreamMessage,
    Streams,
)
from theater_bus.capability.call_queue import CallQueue, QueuedCall
from theater_bus.capability.children import NOT_GIVEN, ChildEnd, ChildEvent, Children, ChildSpec
from theater_bus.capability.clock import Cancellable, TimeSource
from theater_bus.capability.configuration import Configuration
from theater_bus.capability.context import ActorIdentity, Context, Logger
from theater_bus.capability.declaration import Capability, CapabilityError, Settings, blocking, refusals
from theater_bus.capability.exact import (
    Loose,
    err_value,
    exact,
    exact_value,
    ok_value,
    one_parameter,
    parameters,
    plain_value,
)
from theater_bus.capability.hooks import hookimpl
from theater_bus.capability.middleware import (
    Authorizer,
    Decision,
    HostCall,
    HostCallMiddleware,
    OperationInfo,
    OperationMiddleware,
    Proof,
    Request,
)
from theater_bus.capability.peer import LATER, Callback, PeerReply, PeerRequest
from theater_bus.capability.scope import HostScoped
from theater_bus.capability.secret import (
    Secret,
    SecretMask,
    SecretRefused,
    has_handle,
    hide_secrets,
    secret_name,
    with_secrets,
)
from theater_bus.capability.wit import WitCapability
from theater_bus.core.grants import ENDPOINTS, EXACT, FLAG, HOSTS, NUMBER, OWN, PATHS, SECRETS, STRINGS, SUBJECTS
from theater_bus.core.supervision import FailurePolicy
from theater_bus.core.supervision import Supervisor as RestartPolicy
from theater_bus.errors import HandlerError

__all__ = [
    "API",
    "ENDPOINTS",
    "EXACT",
    "FLAG",
    "HOSTS",
    "LATER",
    "NOT_GIVEN",
    "NUMBER",
    "OWN",
    "PATHS",
    "SECRETS",
    "STRINGS",
    "SUBJECTS",
    "ActorIdentity",
    "Authorizer",
    "BusMessage",
    "BusSubscription",
    "CallQueue",
    "Callback",
    "Cancellable",
    "Capability",
    "CapabilityBus",
    "CapabilityError",
    "ChildEnd",
    "ChildEvent",
    "ChildSpec",
    "Children",
    "Configuration",
    "Consumer",
    "Context",
    "Decision",
    "FailurePolicy",
    "HandlerError",
    "HostCall",
    "HostCallMiddleware",
    "HostScoped",
    "KeyValue",
    "KeyValueEntry",
    "Logger",
    "Loose",
    "ObjectEntry",
    "Objects",
    "OperationInfo",
    "OperationMiddleware",
    "PeerReply",
    "PeerRequest",
    "Proof",
    "QueuedCall",
    "Request",
    "RestartPolicy",
    "Secret",
    "SecretMask",
    "SecretRefused",
    "Settings",
    "StreamAck",
    "StreamMessage",
    "Streams",
    "TimeSource",
    "WitCapability",
    "blocking",
    "err_value",
    "exact",
    "exact_value",
    "has_handle",
    "hide_secrets",
    "hookimpl",
    "is_public",
    "ok_value",
    "one_parameter",
    "parameters",
    "plain_address",
    "plain_value",
    "refusals",
    "resolve",
    "secret_name",
    "with_secrets",
]

API = 1
