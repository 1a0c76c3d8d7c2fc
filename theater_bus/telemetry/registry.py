"""Every span, metric, log event and attribute that theater_bus emits. Nothing else may be emitted.

The reference page, the Grafana dashboard and the Prometheus alerts are generated from here
(`docs/generators/telemetry.py`). RPC names follow the OpenTelemetry semantic conventions (RPC, release candidate;
schema 1.44).
"""

from __future__ import annotations

from theater_bus.errors import ActorError, by_code
from theater_bus.telemetry.definition import (
    Attribute,
    Definition,
    LogEvent,
    Metric,
    Registry,
    Span,
    SpanEvent,
)

__all__ = ["DURATION_BUCKETS", "OK", "OTHER", "REGISTRY", "error_type", "fault_codes", "is_fault"]

OK = "ok"
"""What stands for the error code where there was no error."""

OTHER = "_OTHER"
"""What stands for a name that somebody else invented."""

# The semantic conventions' bounds begin at 5 ms; an operation takes tens of microseconds, hence the finer ones below.
DURATION_BUCKETS = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025),
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)


def _codes() -> tuple[str, ...]:
    return tuple(sorted(each.code for each in ActorError.__subclasses__() if each.code))


def is_fault(code: str) -> bool:
    """Whether a code is the host's fault, which makes a span's status ERROR, and not what a caller did wrong.

    Faults are the codes numbered 5xx and `operation-timeout`, as in the RPC conventions (DEADLINE_EXCEEDED counts as a
    server's error). A code nobody knows is a fault.
    """
    found = by_code(code)
    return found is None or found.number >= 500 or code == "operation-timeout"


def fault_codes() -> tuple[str, ...]:
    """Return every code that is the host's fault."""
    return tuple(code for code in _codes() if is_fault(code))


def error_type(code: str) -> str:
    """`error.type` of an error code: the code itself, except that a deadline is `timeout` as everywhere else."""
    return "timeout" if code == "operation-timeout" else code


_ATTRIBUTES = (
    Attribute("rpc.system.name", "The kind of remote call.", values=("theater",)),
    Attribute("rpc.method", "`theater.Actor/<function>`; `_OTHER` for a function that the actor's type does not have."),
    Attribute("rpc.method_original", "The function as it was called, where `rpc.method` is `_OTHER`."),
    Attribute("rpc.response.status_code", "The error code, `ok` without an error.", values=(OK, *_codes(), OTHER)),
    Attribute("error.type", "The error code, `timeout`, or the class of the exception; only when something failed."),
    Attribute("messaging.system", "What carried it.", values=("nats",)),
    Attribute("messaging.destination.template", "The subject, with namespace and actor left open."),
    Attribute("messaging.operation.name", "What was done with a one-way message.", values=("send", "process")),
    Attribute("messaging.operation.type", "The same, in the conventions' words.", values=("send", "process")),
    Attribute("messaging.batch.message_count", "How many segments left together.", type="int"),
    Attribute("theater.namespace", "The namespace of the actor."),
    Attribute("theater.actor.id", "The actor's id; on metrics only for the actors that `--telemetry-actors` lists."),
    Attribute("theater.actor.name", "The name of the actor's package."),
    Attribute("theater.host.id", "The host that ran it."),
    Attribute("theater.chain.seq", "The sequence of the operation's first event in the actor's chain.", type="int"),
    Attribute("theater.host_call.interface", "The interface of a host function."),
    Attribute("theater.host_call.function", "The host function."),
    Attribute(
        "theater.host_call.outcome",
        "How a host call ended, as the chain records it.",
        values=("returned", "raised", "queued", "dropped", "unknown"),
    ),
    Attribute("theater.guest.slices", "How many slices the guest's run took.", type="int"),
    Attribute(
        "theater.actor.phase",
        "A phase of an actor's life.",
        values=("starting", "running", "paused", "restarting", "updating", "stopping", "stopped"),
    ),
    Attribute(
        "theater.stop.reason",
        "Why an actor stopped.",
        values=("exited", "shutdown", "failed", "terminated", "fenced", "moved"),
    ),
    Attribute("theater.trap.reason", "What ended the guest: `unreachable`, `out-of-bounds`, `cpu-limit`, …"),
    Attribute(
        "theater.cancel.cause",
        "Who cut the operation.",
        values=("deadline", "caller", "terminate", "shutdown"),
    ),
    Attribute(
        "theater.refusal.reason",
        "Why a message was refused before it became an operation: an error code, or `reply-subject`.",
    ),
    Attribute(
        "theater.telemetry.signal",
        "What was dropped.",
        values=("spans", "metrics", "logs", "guest-logs", "unregistered"),
    ),
    Attribute("theater.cache.result", "Where a compiled module was found.", values=("memory", "disk", "compiled")),
    Attribute(
        "theater.repeat.result",
        "What the repetition of an operation in a fresh instance was like: `unknown` where it asked WASI for what is "
        "not in the record, or was ended by a limit.",
        values=("same", "different", "unknown"),
    ),
    Attribute("trace_id", "The trace that the record belongs to, 32 hexadecimal digits."),
    Attribute("span_id", "The span that the record belongs to, 16 hexadecimal digits."),
    Attribute("namespace", "The namespace of the actor."),
    Attribute("actor", "The actor's id."),
    Attribute("host", "The host's id."),
    Attribute("function", "The function that was called."),
    Attribute("interface", "The interface of a host function."),
    Attribute("capability", "A capability's name."),
    Attribute("code", "The error code."),
    Attribute("reason", "Why, in a word or a sentence."),
    Attribute("error", "The exception, class and text."),
    Attribute("fix", "What to do about it."),
    Attribute("phase", "The actor's phase."),
    Attribute("attempt", "Which restart within the interval, from 1.", type="int"),
    Attribute("package", "The package's SHA-256 in hexadecimal."),
    Attribute("subject", "A subject."),
    Attribute("target", "The actor, or the inbox, that a send was bound for."),
    Attribute("server", "The address of a NATS server."),
    Attribute("plugin", "A plugin's name."),
    Attribute("path", "A file."),
    Attribute("setting", "The name of a setting."),
    Attribute("seconds", "A duration in seconds."),
    Attribute("count", "How many.", type="int"),
    Attribute("dropped", "How many lines were dropped since the last one of this actor.", type="int"),
    Attribute("text", "What the guest wrote."),
    Attribute("guest_level", "The level that the guest gave its line."),
    Attribute("correlation", "The id that the caller was given for an unexpected error."),
)

_RPC = (
    "rpc.system.name",
    "rpc.method",
    "messaging.system",
    "messaging.destination.template",
    "theater.namespace",
    "theater.actor.id",
)
_MESSAGE = (*_RPC, "messaging.operation.name", "messaging.operation.type")
_ACTOR = ("theater.actor.name", "theater.host.id")
_ENDING = ("rpc.response.status_code", "error.type", "rpc.method_original")

_SPANS = (
    Span(
        "theater.Actor/{function}",
        ("CLIENT", "SERVER"),
        "One operation: CLIENT is the caller's view, SERVER the host's, from arrival to reply.",
        _RPC,
        (*_ENDING, *_ACTOR, "theater.chain.seq"),
    ),
    Span("theater.queue", ("INTERNAL",), "The operation waited in the mailbox; absent when it did not."),
    Span(
        "theater.guest {function}",
        ("INTERNAL",),
        "The guest's fiber, from its first poll to its end.",
        events=("theater.guest.sliced", "theater.guest.promoted", "theater.guest.cancelled"),
    ),
    Span(
        "theater.chain.append",
        ("CLIENT",),
        "One batch appended to the chain, linked to the operations that it carries.",
        ("messaging.batch.message_count", "theater.actor.id", "theater.namespace"),
        ("error.type",),
        needs="durable",
    ),
    Span(
        "send {subject}",
        ("PRODUCER",),
        "A one-way message to an actor.",
        _MESSAGE,
        ("error.type", "rpc.response.status_code", "rpc.method_original"),
    ),
    Span(
        "process {subject}",
        ("CONSUMER",),
        "An operation that nobody waits for: a trace of its own, linked to the sender's.",
        _MESSAGE,
        (*_ENDING, *_ACTOR, "theater.chain.seq"),
    ),
    # The widest name comes last: an emitted span belongs to the first definition that matches it.
    Span(
        "{interface}/{function}",
        ("CLIENT", "INTERNAL"),
        "One host call; CLIENT when its effect leaves the process. What a capability does is below it.",
        ("theater.host_call.interface", "theater.host_call.function"),
        ("theater.host_call.outcome", "error.type"),
    ),
)

_EVENTS = (
    SpanEvent("theater.guest.sliced", "The guest yielded; at its end, with the number.", ("theater.guest.slices",)),
    SpanEvent("theater.guest.promoted", "The guest went on in a thread of the pool."),
    SpanEvent("theater.guest.cancelled", "The guest's fiber was deleted."),
)

_METHOD = ("rpc.method", "theater.namespace")
_CALL = ("rpc.system.name", *_METHOD, "rpc.response.status_code")
_ERROR = ("error.type", "theater.actor.id")
_LISTED = ("theater.actor.id",)


def _seconds(
    name: str, sentence: str, attributes: tuple[str, ...], optional: tuple[str, ...], needs: str = ""
) -> Metric:
    return Metric(name, "histogram", "s", sentence, attributes, optional, DURATION_BUCKETS, needs)


_HOST_CALL = ("theater.host_call.interface", "theater.host_call.function", "theater.host_call.outcome")

_METRICS = (
    _seconds("rpc.client.call.duration", "How long a caller waited for its answer.", _CALL, _ERROR),
    _seconds("rpc.server.call.duration", "From the arrival of a request at the host to its reply.", _CALL, _ERROR),
    _seconds("theater.queue.duration", "How long an operation waited in the mailbox.", _METHOD, _LISTED),
    _seconds("theater.guest.duration", "How long the guest's fiber lived.", _METHOD, _LISTED),
    _seconds("theater.host_call.duration", "How long a host call took.", _HOST_CALL, ()),
    _seconds(
        "theater.chain.append.duration", "How long an append took to be acknowledged.", (), ("error.type",), "durable"
    ),
    Metric(
        "theater.operations",
        "counter",
        "{operation}",
        "Operations that ended, by function and code.",
        (*_METHOD, "rpc.response.status_code"),
        _LISTED,
    ),
    Metric(
        "theater.host_calls",
        "counter",
        "{call}",
        "Host calls that ended, by interface and outcome.",
        ("theater.host_call.interface", "theater.host_call.outcome"),
    ),
    Metric(
        "theater.requests.refused",
        "counter",
        "{message}",
        "Messages refused before they became operations.",
        ("theater.refusal.reason",),
    ),
    Metric(
        "theater.requests.skewed",
        "counter",
        "{message}",
        "Requests whose sender's clock is more than a minute off; their time of sending is ignored.",
    ),
    Metric("theater.actor.restarts", "counter", "{restart}", "Instances replaced after a failure."),
    Metric("theater.actor.traps", "counter", "{trap}", "Guests that trapped or hit a limit.", ("theater.trap.reason",)),
    Metric(
        "theater.guest.repeats",
        "counter",
        "{operation}",
        "Operations of components that were repeated in a fresh instance, by what that was like.",
        ("theater.repeat.result",),
    ),
    Metric(
        "theater.capability.failures", "counter", "{failure}", "Failures of background work that capabilities reported."
    ),
    Metric("theater.outbox.undelivered", "counter", "{send}", "Queued sends that were given up.", ("error.type",)),
    Metric("theater.cancellations", "counter", "{operation}", "Operations that were cut.", ("theater.cancel.cause",)),
    Metric("theater.chain.segments", "counter", "{segment}", "Segments appended to chains."),
    Metric("theater.chain.bytes", "counter", "By", "Bytes of events appended to chains."),
    Metric("theater.bus.reconnects", "counter", "{reconnect}", "Connections to NATS that were made again."),
    Metric(
        "theater.bus.rebuilds", "counter", "{rebuild}", "Connections to NATS that were replaced after a fatal close."
    ),
    Metric(
        "theater.modules.loaded",
        "counter",
        "{module}",
        "Modules loaded, by where they were found.",
        ("theater.cache.result",),
    ),
    Metric(
        "theater.telemetry.dropped",
        "counter",
        "{observation}",
        "Observations dropped because a bound was reached or a name was not registered.",
        ("theater.telemetry.signal",),
    ),
    Metric("theater.actors", "updown", "{actor}", "Actors of this host by phase.", ("theater.actor.phase",)),
    Metric("theater.mailbox.depth", "updown", "{operation}", "Operations waiting in all mailboxes of this host."),
    Metric("theater.outbox.depth", "updown", "{send}", "Queued sends of this host's actors that are not settled."),
    Metric("theater.guests.suspended", "updown", "{guest}", "Guests that wait for a host call."),
    Metric("theater.guests.promoted", "updown", "{guest}", "Guests that run in the thread pool."),
    Metric("theater.leases", "updown", "{lease}", "Leases held.", needs="jetstream"),
    Metric("theater.guest.memory", "gauge", "By", "Linear memory of all guests of this host."),
    Metric("theater.module_cache.modules", "gauge", "{module}", "Compiled modules held in memory."),
    Metric(
        "theater.event_loop.lag", "gauge", "s", "How late the event loop ran a timer, at worst within the last minute."
    ),
    Metric(
        "theater.jetstream.lag",
        "gauge",
        "{segment}",
        "Segments that wait for their acknowledgement.",
        needs="jetstream",
    ),
)

_SITE = ("actor", "namespace", "host", "trace_id", "span_id")

_LOGS = (
    LogEvent("host.started", "info", "A host serves.", ("host", "namespace", "server")),
    LogEvent("host.stopped", "info", "A host stopped.", ("host", "reason", "seconds")),
    LogEvent("settings.ignored", "warning", "A variable THEATER_BUS_… names no setting.", ("host", "reason", "fix")),
    LogEvent("host.draining", "info", "A host finishes what runs and takes nothing new.", ("host", "count")),
    LogEvent("actor.started", "info", "An actor's lanes are subscribed.", (*_SITE, "package", "seconds")),
    LogEvent("actor.cut", "info", "An actor gets less than its manifest asks for.", (*_SITE, "reason")),
    LogEvent("actor.recovered", "info", "An actor goes on from its recorded chain.", _SITE),
    LogEvent("actor.orphaned", "warning", "A recovered child's parent did not come back.", (*_SITE, "reason")),
    LogEvent("actor.unrecoverable", "error", "An actor's recorded chain cannot be used.", (*_SITE, "reason")),
    LogEvent("actor.stopped", "info", "An actor stopped.", (*_SITE, "reason")),
    LogEvent("actor.paused", "info", "An actor was paused.", (*_SITE, "reason")),
    LogEvent("actor.resumed", "info", "An actor goes on.", _SITE),
    LogEvent("actor.restarted", "warning", "An actor's instance was replaced.", (*_SITE, "attempt", "reason")),
    LogEvent(
        "actor.failed",
        "error",
        "An actor reached its restart intensity, or may not restart.",
        (*_SITE, "reason", "error"),
    ),
    LogEvent("spawn.refused", "warning", "A spawn was refused.", (*_SITE, "code", "reason", "fix")),
    LogEvent("guest.trapped", "warning", "A guest trapped or hit a limit.", (*_SITE, "function", "reason")),
    LogEvent(
        "guest.hidden-state",
        "warning",
        "A component does something else in a fresh instance: its memory holds what its state does not.",
        (*_SITE, "function", "reason"),
    ),
    LogEvent("guest.log", "info", "A line that a guest wrote.", (*_SITE, "text", "guest_level", "dropped")),
    LogEvent(
        "request.refused",
        "warning",
        "A message was refused before it became an operation.",
        (*_SITE, "code", "reason", "subject", "count"),
    ),
    LogEvent(
        "operation.unexpected",
        "error",
        "A bug: an operation ended in an exception of ours.",
        (*_SITE, "function", "error", "correlation"),
    ),
    LogEvent("reply.lost", "warning", "A reply could not be sent.", (*_SITE, "subject", "reason")),
    LogEvent(
        "capability.failed",
        "error",
        "A capability raised what it does not report to its guest.",
        (*_SITE, "interface", "function", "error", "plugin"),
    ),
    LogEvent(
        "capability.abandoned",
        "error",
        "A capability did not end within its second after cancellation.",
        (*_SITE, "interface", "function"),
    ),
    LogEvent(
        "capability.troubled",
        "warning",
        "A capability says that its background work failed.",
        (*_SITE, "capability", "reason"),
    ),
    LogEvent("outbox.undelivered", "warning", "A queued send was given up.", (*_SITE, "target", "code", "reason")),
    LogEvent(
        "approval.wanted", "info", "A host call waits for a person.", (*_SITE, "capability", "function", "reason")
    ),
    LogEvent(
        "approval.decided",
        "info",
        "Somebody decided about a host call that waited.",
        (*_SITE, "capability", "function", "code", "reason"),
    ),
    LogEvent("plugin.refused", "error", "A plugin cannot be used; the others go on.", ("plugin", "reason", "fix")),
    LogEvent("chain.corrupt", "error", "Recorded bytes do not verify.", (*_SITE, "path", "reason")),
    LogEvent(
        "chain.cut",
        "warning",
        "The torn end of a log, a write that was under way, was cut off.",
        ("host", "path", "reason"),
    ),
    LogEvent("bus.connected", "info", "Connected to NATS.", ("host", "server")),
    LogEvent(
        "bus.disconnected", "warning", "The connection to NATS is gone; it is made again.", ("host", "server", "error")
    ),
    LogEvent("bus.reconnected", "info", "Connected to NATS again.", ("host", "server")),
    LogEvent(
        "bus.rebuilt", "warning", "The connection was replaced after a fatal close.", ("host", "server", "reason")
    ),
    LogEvent("bus.permission_denied", "error", "NATS refused a subject.", ("host", "subject", "error")),
    LogEvent("bus.handler_failed", "error", "A message handler raised: a bug.", ("host", "subject", "error")),
    LogEvent("bus.server_log", "debug", "A line of the embedded server.", ("server", "text")),
    LogEvent(
        "module_cache.corrupt",
        "warning",
        "A compiled module on disk does not verify; it is compiled again.",
        ("path", "reason", "package"),
    ),
    LogEvent("telemetry.dropped", "warning", "Observations were dropped (at most once a minute).", ("count", "reason")),
    LogEvent(
        "telemetry.unregistered", "error", "A name that is not registered was refused (once a name).", ("reason",)
    ),
    LogEvent("telemetry.export_failed", "warning", "An exporter failed; what it was given is lost.", ("error",)),
)

_ALL: tuple[Definition, ...] = (*_ATTRIBUTES, *_EVENTS, *_SPANS, *_METRICS, *_LOGS)

REGISTRY = Registry(_ALL)
"""What theater_bus itself emits. A host extends a copy with its plugins' definitions."""
