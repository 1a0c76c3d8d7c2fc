"""Events for people."""

import json
from typing import Any

from theater_bus.core.chain.describe import describe
from theater_bus.core.chain.events import decode_event


def test_every_event_is_plain_and_readable(story: Any) -> None:
    plain = [describe(decode_event(event)) for event in story.events]
    assert [(entry["seq"], entry["type"]) for entry in plain[:3]] == [(0, "genesis"), (1, "call"), (2, "result")]
    assert json.loads(json.dumps(plain)) == plain
    assert plain[1]["parent"] == plain[0]["hash"]
    assert (plain[1]["function"], plain[1]["caller"], plain[1]["params"]) == ("inc", "alice", b"params".hex())
    assert plain[2]["value"] == {"sha256": json.loads(json.dumps(plain[2]["value"]))["sha256"], "size_bytes": 65}
    logs = next(entry for entry in plain if entry.get("function") == "log")
    assert (logs["count"], logs["lines"]) == (2, ["one", "two"])


def test_control_events_say_their_word(story: Any) -> None:
    words = [entry["control"] for entry in (describe(decode_event(e)) for e in story.events) if "control" in entry]
    assert words == [
        "fresh-instance", "restarted", "paused", "resumed", "hidden-state", "updated", "recovered", "moved",
        "undelivered", "archived",
    ]  # fmt: skip


def test_nested_fields_have_names(story: Any) -> None:
    plain = {entry["type"]: entry for entry in (describe(decode_event(event)) for event in story.events)}
    assert plain["checkpoint"]["window"][0]["key"] == "k0"  # type: ignore[index]
    assert plain["checkpoint"]["received"] == {"@actor.b": {"incarnation": (b"i" * 16).hex(), "number": 9}}
    assert plain["genesis"]["origin"]["mode"] == "continue"  # type: ignore[index]


def test_payloads_are_shown_as_asked_and_digests_stay_hex(story: Any) -> None:
    plain = [describe(decode_event(event), render=lambda data: f"<{len(data)}>") for event in story.events]
    assert (plain[0]["state"], plain[0]["package"]) == ("<7>", (b"p" * 32).hex())
    assert plain[1]["params"] == "<6>"
