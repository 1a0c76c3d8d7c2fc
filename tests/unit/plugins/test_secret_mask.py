"""Values of secrets in what comes piece by piece: hidden wherever it is cut, and hardly anything is held back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from theater_bus.capability import Secret, SecretMask, hide_secrets

ABAC = Secret("secret:k", "abac")


@given(st.lists(st.sampled_from([b"a", b"ab", b"aba", b"abac", b"x", b"abacab", b"ac"]), max_size=12))
def test_a_value_is_hidden_wherever_a_stream_is_cut(pieces: list[bytes]) -> None:
    mask = SecretMask([ABAC])
    shown = b"".join([*map(mask.feed, pieces), mask.flush()])
    assert b"abac" not in shown
    assert shown == b"".join(pieces).replace(b"abac", b"secret:k")


def test_only_what_may_be_the_beginning_of_a_value_is_held_back() -> None:
    mask = SecretMask([ABAC, Secret("secret:l", "xyz")])
    assert (mask.feed(b"data: hello\n\n"), mask.held) == (b"data: hello\n\n", 0)
    assert (mask.feed(b"...aba"), mask.held) == (b"...", 3)
    assert (mask.feed(b"d"), mask.held) == (b"abad", 0)
    assert (mask.feed(b"x"), mask.flush(), mask.held) == (b"", b"x", 0)


def test_a_secret_that_is_added_is_hidden_in_what_is_held_back_too() -> None:
    mask = SecretMask()
    assert mask.feed(b"ab") == b"ab"
    mask.add([ABAC])
    assert mask.feed(b"ab") == b""
    mask.add([Secret("secret:l", "abx")])
    assert mask.feed(b"x!") == b"secret:l!"


def test_the_longer_of_two_values_is_hidden_whole() -> None:
    secrets = [Secret("secret:short", "abc"), Secret("secret:long", "abcdef"), Secret("secret:none", "")]
    assert hide_secrets(b"<abcdef><abc>", secrets) == b"<secret:long><secret:short>"
    assert SecretMask(secrets).feed(b"<abcdef><abc>") == b"<secret:long><secret:short>"
