"""The declarations: every query and verb, with the fields that it takes and the answer that it gives.

Source: wire protocol, "Subjects", "Nested calls" and "Large answers".
"""

from __future__ import annotations

from collections.abc import Mapping

from theater_bus.core.wire.reply import MAX_REPLY
from theater_bus.core.wire.request import MAX_MILLIS
from theater_bus.core.wire.subjects import Channel
from theater_bus.core.wire.verb_schema import Answer, Field, Kind, Verb

__all__ = ["VERBS"]

MAX_GRACE_MS = 600_000
DEFAULT_PAGE = 100
MAX_PAGE = 1_000
DEFAULT_PAGE_BYTES = 256 * 1024
MAX_PAGE_BYTES = 8 * 1024 * 1024
DEFAULT_WATCH_MS = 30_000
MAX_WATCH_MS = 3_600_000

_AS_OF = Answer("as_of", "{sequence, head}", "the acknowledged event that this describes: number, hash (bin 32)")
_PHASE = Answer(
    "phase", "str", "the phase it is in now: starting, running, paused, restarting, updating, stopping, stopped"
)
_ACCEPTED = Answer("accepted", "bool", "true: it is being done, or with `wait` it is done")
_WAIT = Field("wait", Kind.BOOL, "answer once, when it is done, instead of at once", default=False)
_GRACE = Field(
    "grace_ms",
    Kind.INT,
    "what a running operation gets to finish, then it is cancelled; without it what the host is set to",
    high=MAX_GRACE_MS,
)
_CALLER = Field(
    "caller", Kind.TEXT, "the key's scope: a proven caller, `@actor.<id>`, or empty for all others", default="", high=71
)

_INFO = (
    Verb(
        "status",
        "What the actor is and does.",
        answer=(
            Answer("id", "str", "the actor's id"),
            Answer("name", "str", "the manifest's name"),
            _PHASE,
            Answer("reason", "str or nil", "why it stopped or paused, if it did"),
            Answer("host", "str", "the host that runs it"),
            Answer("incarnation", "bin 16", "made at spawn; stays across restarts and moves"),
            Answer("package", "digest", "SHA-256 of the module"),
            Answer("durability", "str", "memory, file or sync"),
            Answer("running", "map or nil", "the operation in progress: {function, since_ms, op, path}"),
            Answer("queued", "int", "operations in the mailbox"),
            Answer("parent", "str or nil", "the actor that it is a child of, where that runs"),
            Answer("children", "int", "its own children that live"),
            Answer(
                "approvals", "array of maps", "what waits for `control.<id>.approve`: {id, function, what, since_ms}"
            ),
            _AS_OF,
        ),
    ),
    Verb(
        "state",
        "The state after the last acknowledged operation, as a plain value.",
        (Field("form", Kind.CHOICE, "how the state comes back", default="value", choices=("value", "cgrf")),),
        (
            Answer("state", "plain value", "with `form: value`"),
            Answer("cgrf", "bin", "with `form: cgrf`: the state as CGRF"),
            Answer(
                "digest, size, object",
                "digest, int, str",
                "instead of a state too large for a message: the object that holds, for 60 s, the bytes of `cgrf`, or "
                "`state` in msgpack or JSON as the request was",
            ),
            _AS_OF,
        ),
    ),
    Verb(
        "chain",
        "A page of the event chain, whole segments.",
        (
            Field("from", Kind.INT, "the first event wanted; its segment begins the page", default=0, high=MAX_MILLIS),
            Field("limit", Kind.INT, "segments at most", default=DEFAULT_PAGE, low=1, high=MAX_PAGE),
            Field(
                "bytes",
                Kind.INT,
                "bytes at most, but one segment at least",
                default=DEFAULT_PAGE_BYTES,
                low=1,
                high=MAX_PAGE_BYTES,
            ),
        ),
        (
            Answer("segments", "array of maps", "as the chain format defines them"),
            Answer("next", "int or nil", "the `from` of the next page; nil at the end"),
            _AS_OF,
        ),
    ),
    Verb(
        "object",
        "What the chain names by digest: a package, a manifest, grants, a long payload, a spilled segment.",
        (Field("digest", Kind.DIGEST, "its SHA-256", required=True),),
        (
            Answer("data", "bin or nil", "the bytes; nil where the host does not have them"),
            Answer("digest, size, object", "digest, int, str", "instead of `data` too large for a message"),
            _AS_OF,
        ),
    ),
    Verb(
        "metrics",
        "Counts and times of this actor since it started on this host.",
        answer=(
            Answer(
                "operation_metrics",
                "map",
                "operations done, failed and refused; processing times (ns) without and with the wait in the mailbox",
            ),
            Answer("resource_metrics", "map", "guest memory (bytes) and mailbox depth, now and at most"),
            Answer("start_time_ns", "int", "unix nanoseconds of its start on this host"),
            Answer("uptime_ms", "int", "milliseconds since then, by a clock that nobody sets"),
            Answer("last_update_ns", "int or nil", "unix nanoseconds of the last operation's end"),
            _AS_OF,
        ),
    ),
    Verb(
        "exports",
        "What can be called, with its types, and the hashes of the interfaces.",
        answer=(
            Answer(
                "functions",
                "array of maps",
                "{name, params: [{name, type}], result, hash}: types as pact text; hash (bin 32) of the signature as "
                "its callers see it, without the state",
            ),
            Answer("hashes", "array of maps", "{interface, hash (bin 32)}"),
            _AS_OF,
        ),
    ),
    Verb(
        "manifest",
        "The manifest in force.",
        answer=(
            Answer("manifest", "map", "as it was read, defaults filled in"),
            Answer("digest", "digest", "the one that the chain records"),
            _AS_OF,
        ),
    ),
    Verb(
        "grants",
        "What the actor may use, and which side cut what.",
        answer=(
            Answer("second", "str", "the side beside the host: parent, or record for an actor that was recovered"),
            Answer("capabilities", "array of str", "the capabilities that it has"),
            Answer(
                "settings",
                "array of maps",
                "{capability, setting, effective, asked, host, parent, cut_by: [host or second]}; a side is a number, "
                "a flag, an array of texts, any other value, or `unlimited` or `nothing`",
            ),
            _AS_OF,
        ),
    ),
    Verb(
        "operation",
        "What became of a request with a key.",
        (Field("op", Kind.KEY, "the idempotency key", required=True), _CALLER),
        (
            Answer("outcome", "str", "committed, running or not-recorded"),
            Answer("answer", "map or nil", "of a committed one: {value} or {error}, as the reply had it"),
            _AS_OF,
        ),
    ),
    Verb(
        "watch",
        "Have the host publish what the chain accepts; renew it before it ends.",
        (Field("ttl_ms", Kind.INT, "how long", default=DEFAULT_WATCH_MS, low=1_000, high=MAX_WATCH_MS),),
        (
            Answer("subject", "str", "where to subscribe"),
            Answer("ttl_ms", "int", "how long the host will publish"),
            _AS_OF,
        ),
    ),
)

_CONTROL = (
    Verb("pause", "Keep what arrives in the mailbox; the running operation finishes.", answer=(_PHASE,)),
    Verb("resume", "Go on after a pause.", answer=(_PHASE,)),
    Verb(
        "shutdown",
        "Stop in order: refuse what is queued, let the running operation finish, then stop.",
        (_WAIT, _GRACE, Field("reason", Kind.TEXT, "for the chain and the log", default="", high=256)),
        (_ACCEPTED, _PHASE),
    ),
    Verb("terminate", "Stop at once: the running operation is cut.", (_WAIT,), (_ACCEPTED, _PHASE)),
    Verb(
        "cancel",
        "End one operation: queued, it never runs; running, it is cut like at a deadline.",
        (
            Field("op", Kind.KEY, "its idempotency key"),
            _CALLER,
            Field("reply", Kind.TEXT, "the reply subject of its request", low=1, high=MAX_REPLY),
        ),
        (Answer("cancelled", "str", "queued, running, or none when there is no such operation any more"),),
        one_of=(("op", "caller"), ("reply",)),
    ),
    Verb(
        "waiting",
        "A host tells another one who waits for this actor, so that circles of calls end in `call-cycle` at once.",
        (Field("path", Kind.NAMES, "each waits for the next, the last for this actor", required=True, low=1, high=32),),
        (_ACCEPTED,),
    ),
    Verb("update", "Replace the package of a living actor.", reserved=True),
    Verb(
        "approve",
        "Decide about what waits for a person; `info.<id>.status` lists it.",
        (
            Field("id", Kind.TEXT, "which one", required=True, low=1, high=64),
            Field("decision", Kind.CHOICE, "whether it may go on", default="granted", choices=("granted", "refused")),
            Field("note", Kind.TEXT, "for the log, and for the actor when it is refused", default="", high=256),
        ),
        (Answer("approval", "str", "granted, refused, or none when nothing waits under this id any more"),),
    ),
)

_HOST = (
    Verb(
        "spawn",
        "Start an actor on this host; answers when its lanes are subscribed.",
        (
            Field("manifest", Kind.DOCUMENT, "the manifest: TOML text, or its tables", required=True),
            Field("package", Kind.DIGEST, "the module, when the manifest does not name it by digest"),
            Field("id", Kind.NAME, "the actor's id; without it the manifest's, else a generated one"),
            Field("state", Kind.PLAIN, "the initial state; without it the manifest's, else none"),
            Field("parent", Kind.NAME, "the actor that supervises it"),
            Field("continue", Kind.BOOL, "a chain that ended goes on: new incarnation, last state", default=False),
            Field("fresh", Kind.BOOL, "a chain that ended goes on: new incarnation, initial state", default=False),
        ),
        (
            Answer("id", "str", "the actor's id"),
            Answer("incarnation", "bin 16", "of the actor now alive"),
            Answer("host", "str", "this host"),
            Answer("package", "digest", "SHA-256 of the module that runs"),
        ),
        not_both=("continue", "fresh"),
    ),
    Verb(
        "info",
        "What this host is and has.",
        answer=(
            Answer("host", "str", "its id"),
            Answer("version", "str", "of theater_bus"),
            Answer("namespace", "str", "the namespace it serves"),
            Answer("labels", "map of str", "for placement"),
            Answer("capacity", "map", "{actors, memory_bytes}: the bounds"),
            Answer("phases", "map", "actors by phase"),
            Answer("capabilities", "array of maps", "{name, interfaces, plugin}"),
            Answer("wire_features", "array of str", "optional keys that it understands"),
            Answer("started_ms", "int", "unix time of its start"),
        ),
    ),
    Verb(
        "drain",
        "Take no new actors and shut down all that run here.",
        (_WAIT, _GRACE),
        (
            _ACCEPTED,
            Answer("actors", "int", "how many were running"),
        ),
    ),
    Verb(
        "actors",
        "A page of the actors on this host, by id.",
        (
            Field("after", Kind.TEXT, "the last id of the page before", default="", high=64),
            Field("limit", Kind.INT, "actors at most", default=DEFAULT_PAGE, low=1, high=MAX_PAGE),
        ),
        (
            Answer("actors", "array of maps", "{id, name, phase}"),
            Answer("next", "str or nil", "the `after` of the next page; nil at the end"),
        ),
    ),
)

_FLEET = (
    Verb(
        "ping",
        "Every host answers: it is there.",
        answer=(
            Answer("host", "str", "its id"),
            Answer("version", "str", "of theater_bus"),
            Answer("actors", "int", "how many run there"),
        ),
    ),
    Verb(
        "where",
        "Only the host that runs the actor answers.",
        (Field("id", Kind.NAME, "the actor", required=True),),
        (
            Answer("id", "str", "the actor"),
            Answer("host", "str", "the host that runs it"),
            Answer("incarnation", "bin 16", "of the actor now alive"),
        ),
    ),
    Verb("bid", "Offer to run an actor.", reserved=True),
)

VERBS: Mapping[Channel, Mapping[str, Verb]] = {
    channel: {verb.name: verb for verb in verbs}
    for channel, verbs in (
        (Channel.INFO, _INFO),
        (Channel.CONTROL, _CONTROL),
        (Channel.HOST, _HOST),
        (Channel.FLEET, _FLEET),
    )
}
"""The verbs of each channel that has some, in the order of the reference."""
