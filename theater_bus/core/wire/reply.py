"""To which subjects an answer may go.

Invariant: a subject that `allows` accepts is an inbox, literal and well formed; a host that answers nothing else cannot
be made to publish on another actor's operation, a control verb or an API of the server.
Source: wire protocol, "Reply subjects".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from theater_bus.errors import ConfigurationError

__all__ = ["DEFAULT_REPLY_PREFIXES", "MAX_REPLY", "ReplyRule"]

DEFAULT_REPLY_PREFIXES = ("_R_", "_INBOX*")
"""First tokens of inboxes; a trailing `*` stands for any rest of the token."""

MAX_REPLY = 512
"""Characters that a reply subject may have."""

_KNOWN_MAX = 4_096

# One token: printable ASCII but space, the separator and the wildcards, which are refused even inside a token.
_TOKEN = r"[!-)+\-/-=?-~]"
_PREFIX = re.compile(rf"({_TOKEN}+)(\*?)")


class ReplyRule:
    """The check of reply subjects. `prefixes` is the setting `reply_prefixes`.

    Raises `ConfigurationError` for a prefix that is no token, or that would open the server's or our own subjects.
    """

    __slots__ = ("_known", "_match", "prefixes")

    def __init__(self, prefixes: Iterable[str] = DEFAULT_REPLY_PREFIXES) -> None:
        self.prefixes = tuple(prefixes)
        self._known: set[str] = set()
        first = "|".join(_pattern(prefix) for prefix in self.prefixes)
        if not first:
            raise ConfigurationError("reply_prefixes", "it is empty", 'keep at least "_INBOX*"')
        gateway = rf"(?:_GR_\.{_TOKEN}+\.{_TOKEN}+\.)?"
        self._match = re.compile(rf"{gateway}(?:{first})(?:\.{_TOKEN}+)+").fullmatch

    def allows(self, reply: str) -> bool:
        """Whether `reply` is an inbox. When it is not, the request does not run and nothing is published."""
        # A client's replies differ in their last token; its inbox is matched once.
        inbox, _, token = reply.rpartition(".")
        if inbox in self._known and token.isalnum() and token.isascii():
            return len(reply) <= MAX_REPLY
        if len(reply) > MAX_REPLY or self._match(reply) is None:
            return False
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known.add(inbox)
        return True


def _pattern(prefix: str) -> str:
    found = _PREFIX.fullmatch(prefix)
    if found is None:
        raise ConfigurationError("reply_prefixes", f"{prefix!r} is not one token", 'write "_R_" or "_INBOX*"')
    if found[1][0] == "$" or found[1].startswith("theater") or (found[2] and "theater".startswith(found[1])):
        raise ConfigurationError("reply_prefixes", f"{prefix!r} is no inbox", 'write "_R_" or "_INBOX*"')
    return re.escape(found[1]) + (f"{_TOKEN}*" if found[2] else "")
