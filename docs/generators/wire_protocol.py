"""Renders `docs/reference/wire-protocol.md`: prose from the template, every table and vector from the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from theater_bus.core.wire import (
    DEFAULT_REPLY_PREFIXES,
    ERROR_CODE_HEADER,
    ERROR_HEADER,
    GUIDE,
    MAX_PATH,
    VERBS,
    Caller,
    Channel,
    Form,
    Limits,
    Proof,
    Subjects,
    effect_key,
    encode_cgrf,
    encode_error,
    encode_function,
    encode_part,
    encode_request,
    encode_value,
    encode_void,
    operation_digest,
)
from theater_bus.core.wire.deadline import DEFAULT_TIMEOUT_MS, NESTED_MARGIN_MS, SKEW_MS
from theater_bus.core.wire.function import MAX_TAIL
from theater_bus.core.wire.reply import MAX_REPLY
from theater_bus.core.wire.request import (
    INCARNATION_BYTES,
    MAX_KEY,
    MAX_TIMEOUT_MS,
    OP_HEADER,
    REQUEST_KEYS,
    TIMEOUT_HEADER,
)
from theater_bus.core.wire.response import MAX_MESSAGE, REPLY_KEYS
from theater_bus.core.wire.strict import write_msgpack
from theater_bus.core.wire.verb_schema import ABSENT, Field, Kind, Verb
from theater_bus.errors import FunctionNotFound

TEMPLATE = Path(__file__).parent / "templates" / "wire-protocol.md"
TARGET = "docs/reference/wire-protocol.md"

INCARNATION = bytes(range(INCARNATION_BYTES))
FUNCTIONS = ("increment", "theater:simple/actor.init", "acme:shop/cart@1.2.0.add", "@home", "50% off", "café")
REFUSED_FUNCTIONS = ("%69ncrement", "math%2Edouble", "a%2eb", "@home", "a b", "f.@.no name", "a.b.c")

_REQUEST_DOC = {
    "v": ("int", "1, required"),
    "params": ("array, or map by parameter name", "plain values, without the state; missing: no parameters"),
    "cgrf": ("bin", "in the place of `params`: the parameter tuple in CGRF"),
    "timeout_ms": (f"int, 0 to {MAX_TIMEOUT_MS}", "what is left of the caller's budget when sending"),
    "sent_ms": ("int, unix time", "when it was sent; advisory"),
    "op": (f"str, 1 to {MAX_KEY} printable ASCII characters, no space", "idempotency key"),
    "reply": ("`value`, `cgrf` or `none`", "how the result comes back; `none` is the void call"),
    "outbox": (
        f"[bin {INCARNATION_BYTES}, int from 1]",
        "hosts only, with `reply: none`: sender's incarnation, number",
    ),
    "path": (f"array of at most {MAX_PATH} ids", "actors that wait for this request, oldest first; set by hosts"),
    "stream": ("bool", "the caller accepts parts before the final reply"),
}
_REPLY_DOC = {
    "v": ("int", "1"),
    "value": ("plain value", "the result, for `reply: value`"),
    "cgrf": ("bin", "the result in CGRF, for `reply: cgrf`"),
    "error": ("map", "`code`, `message`, `details`; only with the header"),
    "part": ("int from 0", "this is one part of a stream, not the final reply"),
}
_FORMS = {
    Form.MSGPACK: ("the envelope", "the envelope"),
    Form.JSON_BARE: ("the parameters themselves", "the value itself"),
    Form.JSON_ENVELOPE: ("the envelope, in JSON", "the envelope, in JSON"),
}
_PROOFS = {
    Proof.SUBJECT: "NATS permissions prove the caller token",
    Proof.ACTOR: "another actor's host asserts it",
    Proof.HOST: "this host asked: a timer, supervision",
    Proof.NONE: "nothing proves it; a manifest with `require_caller = true` refuses it",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _subjects() -> str:
    subjects = Subjects("prod")
    rows = [
        (subjects.ops("ID", "FUNCTION"), "the actor's host", "call an exported function"),
        (subjects.ops("ID", "FUNCTION", Caller("CALLER", False)), "the actor's host", "the same, saying who calls"),
        (subjects.info("ID", "QUERY"), "the actor's host", "ask about the actor"),
        (subjects.control("ID", "VERB"), "the actor's host", "steer the actor"),
        (subjects.chain("ID"), "the namespace's stream", "batches of durable actors; only hosts publish"),
        (subjects.events("ID"), "anyone", "what the chain accepted"),
        (subjects.pool("POOL", "FUNCTION"), "all instances of a pool, one queue group", "call any of them"),
        (subjects.host("HOST", "VERB"), "one host", "ask a host"),
        (subjects.fleet("VERB"), "every host", "ask all hosts"),
        (subjects.beat("HOST"), "anyone", "a host's heartbeat, every 5 s"),
    ]
    return table(("subject (namespace `prod`)", "who listens", "what"), [(f"`{row[0]}`", *row[1:]) for row in rows])


def _server_names() -> str:
    subjects = Subjects("NS")
    rows = [
        ("stream of the chains", subjects.chain_stream),
        ("KV bucket of the hosts' leases", subjects.hosts_bucket),
        ("KV bucket of ownership, key = actor id", subjects.actors_bucket),
        ("object store of packages, manifests, payloads", subjects.objects_bucket),
        ("an object in it", "sha256-HEX"),
    ]
    return table(("what", "name, for the namespace `NS`"), [(what, f"`{name}`") for what, name in rows])


def _field_type(field: Field) -> str:
    match field.kind:
        case Kind.INT:
            return f"int, {field.low} to {field.high}"
        case Kind.TEXT:
            return f"str, {field.low} to {field.high} characters"
        case Kind.CHOICE:
            return " or ".join(f"`{choice}`" for choice in field.choices)
        case kind:
            return str(kind.value)


def _default(field: Field) -> str:
    if field.required:
        return "required"
    return "" if field.default is ABSENT else f"`{json.dumps(field.default)}`"


def _verb(channel: Channel, verb: Verb) -> str:
    subjects = Subjects("NS")
    builders: dict[Channel, Callable[[], str]] = {
        Channel.INFO: lambda: subjects.info("ID", verb.name),
        Channel.CONTROL: lambda: subjects.control("ID", verb.name),
        Channel.HOST: lambda: subjects.host("HOST", verb.name),
        Channel.FLEET: lambda: subjects.fleet(verb.name),
    }
    parts = [f"### {channel.value}: {verb.name}", f"`{builders[channel]()}` — {verb.doc}"]
    fields = [(f"`{field.name}`", _field_type(field), _default(field), field.doc) for field in verb.fields]
    parts.append(table(("field", "type", "default", "meaning"), fields) if fields else "It has no fields.")
    if verb.one_of:
        parts.append(f"Exactly one of {' and '.join(f'`{group[0]}`' for group in verb.one_of)} is sent.")
    if verb.not_both:
        parts.append(f"`{verb.not_both[0]}` and `{verb.not_both[1]}` exclude each other.")
    answer = [(f"`{item.name}`", item.type, item.doc) for item in verb.answer]
    parts.append(table(("answer", "type", "meaning"), answer))
    return "\n\n".join(parts)


def _verbs() -> str:
    blocks = []
    for channel, verbs in VERBS.items():
        blocks += [_verb(channel, verb) for verb in verbs.values() if not verb.reserved]
        reserved = [f"`{verb.name}`" for verb in verbs.values() if verb.reserved]
        if reserved:
            blocks.append(f"Reserved on `{channel.value}`, answered `unknown-verb`: {', '.join(reserved)}.")
    return "\n\n".join(blocks)


def _errors() -> str:
    rows = [
        (f"`{code}`", f"`{guide.error.__name__}`", str(guide.error.number), ", ".join(guide.ran), guide.when)
        for code, guide in GUIDE.items()
    ]
    return table(("code", "class", "number", "ran", "when"), rows)


def _limits() -> str:
    limits = Limits()
    rows = [
        ("body of a request", f"{limits.body_bytes} bytes"),
        ("nesting of arrays and maps in `params`, itself counted", str(limits.depth)),
        ("function and caller in a subject", f"{MAX_TAIL} characters"),
        ("reply subject", f"{MAX_REPLY} characters"),
        ("idempotency key", f"{MAX_KEY} characters"),
        ("actors that wait for one request", str(MAX_PATH)),
        ("message of an error", f"{MAX_MESSAGE} characters"),
    ]
    return table(("what", "limit"), rows)


def accepted_requests() -> list[tuple[str, bytes, str]]:
    """What each request is, its body, and its content type (empty for none)."""
    key = "0123456789abcdef0123456789abcdef"
    envelope = Form.JSON_ENVELOPE
    return [
        ("one positional parameter, 5", encode_request([5]), ""),
        ("named parameters", encode_request({"by": 5}), ""),
        ("no parameters", encode_request(), ""),
        ("with a time limit and a key", encode_request([5], timeout_ms=30_000, op=key), ""),
        ("CGRF in, CGRF out", encode_request(cgrf=b"\x01\x02\x03", reply="cgrf"), ""),
        ("a void call", encode_request(["x"], reply="none"), ""),
        ("from an outbox", encode_request([], reply="none", outbox=(INCARNATION, 7)), ""),
        ("nested, with the way it came", encode_request([], timeout_ms=995, path=("a", "b")), ""),
        ("a stream is welcome", encode_request([], stream=True), ""),
        ("bare JSON", b"[5]", ""),
        ("bare JSON, the single parameter", b'"x"', Form.JSON_BARE.value),
        ("JSON envelope", encode_request([5], op="k", form=envelope), envelope.value),
        ("JSON envelope with bytes", encode_request(cgrf=b"\x01\x02\x03", form=envelope), envelope.value),
    ]


def refused_requests() -> list[tuple[str, bytes, str]]:
    """What is wrong with each request, its body, and the code it is refused with."""
    refused, head = "serialization-error", b"\x82\xa1v\x01\xa6params"
    return [
        ("no version", write_msgpack({"params": []}), refused),
        ("another version", write_msgpack({"v": 2}), "unsupported-version"),
        ("both params and cgrf", write_msgpack({"v": 1, "params": [], "cgrf": b""}), refused),
        ("an unknown key", write_msgpack({"v": 1, "timeout": 5}), refused),
        ("a key twice", b"\x82\xa1v\x01\xa1v\x01", refused),
        ("a key of a parameter twice", head + b"\x82\xa1a\x01\xa1a\x02", refused),
        ("a msgpack extension", head + b"\x91\xd4\x05\x00", refused),
        ("a msgpack timestamp", head + b"\x91\xd6\xff\x00\x00\x00\x01", refused),
        ("a lone surrogate", head + b"\x91\xa3\xed\xa0\x80", refused),
        ("a byte after the end", write_msgpack({"v": 1}) + b"\x00", refused),
        ("cut short", head + b"\x91", refused),
        ("a boolean for a time limit", write_msgpack({"v": 1, "timeout_ms": True}), refused),
        ("nested deeper than allowed", head + b"\x91" * Limits().depth + b"\x90", refused),
        ("JSON with NaN", b"[NaN]", refused),
        ("JSON with a key twice", b'{"a":1,"a":2}', refused),
    ]


def reply_vectors() -> list[tuple[str, bytes, str]]:
    """What each reply says, its body, and the code in its header (empty for none)."""
    missing = FunctionNotFound("no function 'f'", function="f", nearest=["g"])
    return [
        ("the value 5", encode_value(5)[0], ""),
        ("the value nil", encode_value(None)[0], ""),
        ("CGRF bytes", encode_cgrf(b"\x01\x02\x03")[0], ""),
        ("a void call was done", encode_void()[0], ""),
        ("part 0 of a stream", encode_part(0, "first")[0], ""),
        ("a heartbeat, part 1", encode_part(1)[0], ""),
        ("an error", encode_error(missing)[0], missing.code),
        ("an error, bare JSON", encode_error(missing, Form.JSON_BARE)[0], missing.code),
        ("the value 5, bare JSON", encode_value(5, Form.JSON_BARE)[0], ""),
    ]


def _digests() -> str:
    incarnation = INCARNATION.hex()
    rows = [
        ("request digest", "`math.double`, parameters `01`", operation_digest("math.double", b"\x01").hex()),
        (
            "effect key with a key",
            f"actor `a`, incarnation `{incarnation}`, caller `alice`, key `k`, call 0, `i`, `f`, input `01`",
            effect_key("a", INCARNATION, ("alice", "k"), 0, "i", "f", b"\x01"),
        ),
        (
            "effect key without",
            f"the same, with the operation's id `{incarnation}`",
            effect_key("a", INCARNATION, INCARNATION, 0, "i", "f", b"\x01"),
        ),
    ]
    return table(("what", "of", "SHA-256"), [(what, of, f"`{digest}`") for what, of, digest in rows])


def _hex_table(head: Sequence[str], rows: Iterable[tuple[str, bytes, str]]) -> str:
    return table(head, [(what, f"`{body.hex()}`", f"`{note}`" if note else "") for what, body, note in rows])


def _keys(documented: dict[str, tuple[str, str]], keys: Sequence[str]) -> str:
    return table(("key", "type", "meaning"), [(f"`{key}`", *documented[key]) for key in keys])


def _parts() -> dict[str, str]:
    return {
        "subjects": _subjects(),
        "functions": table(("export", "tokens"), [(f"`{n}`", f"`{encode_function(n)}`") for n in FUNCTIONS]),
        "refused_functions": ", ".join(f"`{tail}`" for tail in REFUSED_FUNCTIONS),
        "proofs": table(("proof", "meaning"), [(f"`{proof.value}`", text) for proof, text in _PROOFS.items()]),
        "server_names": _server_names(),
        "reply_prefixes": ", ".join(f"`{prefix}`" for prefix in DEFAULT_REPLY_PREFIXES),
        "max_reply": str(MAX_REPLY),
        "forms": table(("content type", "request", "reply"), [(f"`{form.value}`", *_FORMS[form]) for form in Form]),
        "request_keys": _keys(_REQUEST_DOC, REQUEST_KEYS),
        "reply_keys": _keys(_REPLY_DOC, REPLY_KEYS),
        "timeout_header": TIMEOUT_HEADER,
        "op_header": OP_HEADER,
        "error_header": ERROR_HEADER,
        "error_code_header": ERROR_CODE_HEADER,
        "max_message": str(MAX_MESSAGE),
        "verbs": _verbs(),
        "default_timeout": str(DEFAULT_TIMEOUT_MS),
        "skew": str(SKEW_MS),
        "margin": str(NESTED_MARGIN_MS),
        "max_path": str(MAX_PATH),
        "errors": _errors(),
        "limits": _limits(),
        "accepted_requests": _hex_table(("request", "body", "content type"), accepted_requests()),
        "refused_requests": _hex_table(("what is wrong", "body", "code"), refused_requests()),
        "reply_vectors": _hex_table(("reply", "body", f"header `{ERROR_HEADER}`"), reply_vectors()),
        "digests": _digests(),
    }


def render() -> str:
    """The whole page. Raises `KeyError` for a place in the template that nothing fills."""
    parts = _parts()
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], TEMPLATE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    (Path(__file__).parents[2] / TARGET).write_text(render(), encoding="utf-8")
