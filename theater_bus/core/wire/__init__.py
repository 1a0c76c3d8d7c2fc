"""What travels: subjects, envelopes, verbs, and the rules that a request is held against before it runs."""

from theater_bus.core.wire.caller import HOST_SCOPE, Caller, Proof, proof_of, scope_of
from theater_bus.core.wire.callpath import MAX_PATH, check_cycle, extend_path
from theater_bus.core.wire.deadline import Budget, attempt_ms, nested_ms, remaining
from theater_bus.core.wire.digest import effect_key, operation_digest
from theater_bus.core.wire.error_guide import GUIDE, Guide
from theater_bus.core.wire.form import CONTENT_TYPE, Form
from theater_bus.core.wire.function import Tails, Target, decode_tail, encode_function, encode_tail
from theater_bus.core.wire.identity import RANDOM_BYTES, check_name, generate_id, incarnation, is_name
from theater_bus.core.wire.reply import DEFAULT_REPLY_PREFIXES, ReplyRule
from theater_bus.core.wire.request import Limits, Request, decode_request, encode_request, is_key
from theater_bus.core.wire.response import (
    ERROR_CODE_HEADER,
    ERROR_HEADER,
    Encoded,
    Reply,
    ReplyKind,
    decode_reply,
    encode_cgrf,
    encode_error,
    encode_part,
    encode_value,
    encode_void,
)
from theater_bus.core.wire.subjects import (
    DEFAULT_NAMESPACE,
    Channel,
    OpsSubjects,
    ParsedSubject,
    Subjects,
    parse_subject,
)
from theater_bus.core.wire.verb_table import VERBS
from theater_bus.core.wire.verbs import parse_fields, verb_of

__all__ = [
    "CONTENT_TYPE",
    "DEFAULT_NAMESPACE",
    "DEFAULT_REPLY_PREFIXES",
    "ERROR_CODE_HEADER",
    "ERROR_HEADER",
    "GUIDE",
    "HOST_SCOPE",
    "MAX_PATH",
    "RANDOM_BYTES",
    "VERBS",
    "Budget",
    "Caller",
    "Channel",
    "Encoded",
    "Form",
    "Guide",
    "Limits",
    "OpsSubjects",
    "ParsedSubject",
    "Proof",
    "Reply",
    "ReplyKind",
    "ReplyRule",
    "Request",
    "Subjects",
    "Tails",
    "Target",
    "attempt_ms",
    "check_cycle",
    "check_name",
    "decode_reply",
    "decode_request",
    "decode_tail",
    "effect_key",
    "encode_cgrf",
    "encode_error",
    "encode_function",
    "encode_part",
    "encode_request",
    "encode_tail",
    "encode_value",
    "encode_void",
    "extend_path",
    "generate_id",
    "incarnation",
    "is_key",
    "is_name",
    "nested_ms",
    "operation_digest",
    "parse_fields",
    "parse_subject",
    "proof_of",
    "remaining",
    "scope_of",
    "verb_of",
]
