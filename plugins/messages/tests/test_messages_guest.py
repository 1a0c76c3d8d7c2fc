"""Messages between real guests, on one host and on two: sends, requests, answers now and later, and what goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from theater_bus.core.values.hashing import interface_hash
from theater_bus.errors import FunctionNotFound, GuestError, Internal, PermissionDenied
from theater_bus.testing import build_guest, running_host

from .conftest import GUEST, NAMES, capability_of, do, told

HASH = "4c57c8b0b5b79b4dfae06d5011c3096c8802df861de35b29911e1faa462f8576"


# -- contract ----------------------------------------------------------------------------------------------------------


def test_the_guest_imports_what_the_plugin_offers() -> None:
    (imported,) = GUEST.pact.imports
    assert imported.declared is not None
    assert interface_hash(imported.declared).hex() == HASH


@pytest.mark.slow
def test_the_committed_module_is_what_the_pinned_compiler_makes() -> None:
    assert build_guest(GUEST.folder / "mailer.c") == GUEST.wasm


# -- sends and requests ------------------------------------------------------------------------------------------------


async def test_a_send_arrives_in_order(pair: Any) -> None:
    a, b = pair
    for text in ("one", "two", "three"):
        await do(a, f"send b {text}")
    assert await told(b, "three") == "send one\nsend two\nsend three\n"
    events = await a.get_chain().all()
    assert {e.body.outcome for e in events if e.type == "host-call"} >= {"queued"}


async def test_a_send_to_oneself_arrives_when_the_operation_is_over(pair: Any) -> None:
    a, _ = pair
    await do(a, "send a note to self")
    assert await told(a, "note") == "send note to self\n"


async def test_what_is_sent_to_a_busy_actor_waits_for_it(pair: Any) -> None:
    a, b = pair
    await b.pause()
    for number in range(20):
        await do(a, f"send b {number}")
    await b.resume()
    assert (await told(b, "send 19")).split() == [word for number in range(20) for word in ("send", str(number))]


async def test_a_request_is_answered(pair: Any) -> None:
    a, _ = pair
    assert await do(a, "request b hello") == "got:hello"
    assert await do(a, "request b") == "got:"


async def test_what_keeps_the_target_from_answering_is_an_err_and_never_an_empty_answer(pair: Any) -> None:
    a, b = pair
    with pytest.raises(GuestError, match=r"guest-error: .*I fail"):
        await do(a, "request b fail")
    with pytest.raises(GuestError, match="guest-trap: "):
        await do(a, "request b trap")
    with pytest.raises(GuestError, match="actor-not-found: "):
        await do(a, "request nobody hello")
    assert await do(b, "request a still-there") == "got:still-there"


async def test_a_request_to_oneself_and_one_that_comes_back_are_cycles(pair: Any) -> None:
    a, _ = pair
    with pytest.raises(GuestError, match="call-cycle: "):
        await do(a, "request a hello")
    with pytest.raises(GuestError, match=r"guest-error: .*call-cycle: "):
        await do(a, "request b !request a hello")
    assert await do(a, "request b hello") == "got:hello"


async def test_a_request_may_send_to_the_one_who_asks(pair: Any) -> None:
    a, _ = pair
    assert await do(a, "request b !send a thanks") == ""
    await told(a, "send thanks")


async def test_an_answer_may_come_later(pair: Any) -> None:
    a, b = pair
    asked = asyncio.ensure_future(do(a, "request b later"))
    await told(b, "request later")
    (id,) = str(await do(b, "list")).split()
    assert not asked.done()
    with pytest.raises(GuestError, match="as I was told"):
        await do(b, f"respond {id} lost", "do-and-fail")
    with pytest.raises(Internal):
        await do(b, f"respond {id} lost", "do-and-trap")
    assert await do(b, "list") == id
    await do(b, f"respond {id} at last")
    assert await asked == "at last"
    assert await do(b, "list") == ""
    with pytest.raises(GuestError, match="Request ID not found"):
        await do(b, f"respond {id} again")


async def test_a_deferred_answer_may_be_given_up(pair: Any) -> None:
    a, b = pair
    asked = asyncio.ensure_future(do(a, "request b later"))
    await told(b, "request later")
    await do(b, f"cancel {await do(b, 'list')}")
    with pytest.raises(GuestError, match="cancelled: the actor that was asked gave the request up"):
        await asked
    with pytest.raises(GuestError, match="Request ID not found"):
        await do(b, "cancel ../../etc/passwd")


async def test_a_request_has_a_limit_and_leaves_nothing_behind(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["messages"])
    a = await host.spawn(GUEST, id="a", capabilities={"messages": {"to": ["b"], "timeout_ms": 100}})
    await host.spawn(GUEST, id="b")
    with pytest.raises(GuestError, match="operation-timeout: "):
        await do(a, "request b later")
    await eventually(lambda: len(capability_of(host, "b")._requests) == 0)


async def test_an_actor_that_ends_answers_what_it_owes_with_an_err(pair: Any) -> None:
    a, b = pair
    asked = asyncio.ensure_future(do(a, "request b later"))
    await told(b, "request later")
    await b.shutdown()
    with pytest.raises(GuestError, match="shutting-down: "):
        await asked


async def test_two_actors_that_ask_each_other_at_once_do_not_hang(pair: Any) -> None:
    a, b = pair
    for _ in range(5):
        answers = await asyncio.gather(do(a, "request b x"), do(b, "request a y"), return_exceptions=True)
        for answer, due in zip(answers, ("got:x", "got:y"), strict=True):
            assert answer == due or (isinstance(answer, GuestError) and "call-cycle" in str(answer))
        assert any(isinstance(answer, str) for answer in answers)


# -- grants and bad input ----------------------------------------------------------------------------------------------


async def test_nobody_is_written_to_without_a_grant(start_host: Any) -> None:
    host = await start_host(installed=["messages"])
    await host.spawn(GUEST, id="b")
    a = await host.spawn(GUEST, id="a", capabilities={"messages": {}})
    for command in ("send b x", "request b x", "open b x", "send ../../etc/passwd x", "send b\0 x", "send  x"):
        with pytest.raises(GuestError, match=r"grant messages\.to does not name .*Fix: `to = \["):
            await do(a, command)
    c = await host.spawn(GUEST, id="c", capabilities={"messages": {"to": ["*"], "message_bytes": 3}})
    for name in ("../../etc/passwd", "b.c", ">", "*", "b\0"):
        with pytest.raises(GuestError):
            await do(c, f"request {name} x")
    with pytest.raises(GuestError, match=r"longer than the grant messages\.message_bytes = 3"):
        await do(c, "send b four")
    assert await do(c, "request b abc") == "got:abc"


async def test_an_actor_that_did_not_register_takes_nothing(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["messages"])
    a = await host.spawn(GUEST, id="a")
    b = await host.spawn(GUEST, id="b", state="!")
    for command in ("request b x", "open b x"):
        with pytest.raises(GuestError, match="function-not-found: this actor takes no messages"):
            await do(a, command)
    await do(a, "send b x")
    await eventually(lambda: host.host.actors["a"].outbox.size == 0)
    with pytest.raises(GuestError, match="as I was told"):
        await do(b, "register", "do-and-fail")
    await do(b, "register")
    assert await do(a, "request b x") == "got:x"
    with pytest.raises(GuestError, match="Already registered"):
        await do(b, "register")


async def test_the_callbacks_are_reached_by_the_capability_only(start_host: Any) -> None:
    host = await start_host(installed=["messages"])
    b = await host.spawn(GUEST, id="b")
    with pytest.raises(FunctionNotFound):
        await b.call_function("theater:simple/message-server-client.handle-send", [b"x"])


async def test_a_failed_operation_sends_nothing(start_host: Any) -> None:
    host = await start_host(installed=["messages"])
    a, b = await host.spawn(GUEST, id="a"), await host.spawn(GUEST, id="b")
    with pytest.raises(Internal):
        await do(a, "send b never", "do-and-trap")
    await do(a, "send b kept")
    assert await told(b, "kept") == "send kept\n"


async def test_requests_beyond_the_bound_are_refused(start_host: Any) -> None:
    host = await start_host(installed=["messages"])
    await host.spawn(GUEST, id="b", capabilities={"messages": {"outstanding": 1}})
    a, c = await host.spawn(GUEST, id="a"), await host.spawn(GUEST, id="c")
    asked = asyncio.ensure_future(do(a, "request b later"))
    await told(host.theater.actor("b"), "request later")
    with pytest.raises(GuestError, match=r"overloaded: 1 requests .* messages\.outstanding"):
        await do(c, "request b x")
    asked.cancel()


async def test_requests_that_waited_together_keep_the_bound_too(start_host: Any, eventually: Any) -> None:
    host = await start_host(installed=["messages"])
    b = await host.spawn(GUEST, id="b", capabilities={"messages": {"outstanding": 2}})
    others = [await host.spawn(GUEST, id=f"a{number}") for number in range(5)]
    await b.pause()
    asked = [asyncio.ensure_future(do(one, "request b later")) for one in others]
    await eventually(lambda: len(host.host.actors["b"].mailbox) == 5)
    await b.resume()
    # Three are told that they are too many, and two wait.
    done, waiting = set[Any](), set[Any](asked)
    while len(waiting) > 2:
        now, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= now
    for one in done:
        with pytest.raises(GuestError, match=r"overloaded: 2 requests .* messages\.outstanding"):
            await one
    for id in str(await do(b, "list")).split():
        await do(b, f"respond {id} answer")
    assert [await one for one in waiting] == ["answer", "answer"]


async def test_callers_that_nobody_proves_are_refused_where_that_is_asked_for(start_host: Any) -> None:
    host = await start_host(installed=["messages"])
    a = await host.spawn(GUEST, id="a")
    await host.spawn(GUEST, id="b", require_caller=True)
    with pytest.raises(GuestError, match="permission-denied: "):
        await do(a, "request b x")
    proven = await start_host(installed=["messages"], caller_subjects=True)
    a = await proven.spawn(GUEST, id="a")
    b = await proven.spawn(GUEST, id="b", require_caller=True)
    assert await do(a, "request b x") == "got:x"
    calls = [event.body for event in await b.get_chain().all() if event.type == "call"]
    assert (calls[-1].caller, calls[-1].proof) == ("a", "actor")
    with pytest.raises(PermissionDenied):
        await proven.theater.actor("b").call_function("theater:bus/messages.request", [b"x"])


# -- recovery ----------------------------------------------------------------------------------------------------------


async def test_a_file_actor_comes_back_registered_and_answers_what_it_owes(
    start_host: Any, tmp_path: Path, theater_server: Any
) -> None:
    namespace = f"messages-{next(NAMES)}"
    host = await start_host(installed=["messages"], namespace=namespace, host_id="other")
    a = await host.spawn(GUEST, id="a")
    options: dict[str, Any] = {"installed": ["messages"], "data_dir": tmp_path, "namespace": namespace}
    async with running_host(server=theater_server, **options) as first:
        b = await first.spawn(GUEST, id="b", chain={"durability": "file"})
        asked = asyncio.ensure_future(do(a, "request b later"))
        await told(b, "request later")
        id = await do(b, "list")
    async with running_host(server=theater_server, **options) as second:
        b = second.theater.actor("b")
        assert await do(b, "list") == id
        await do(b, f"respond {id} after all")
        assert await asked == "after all"
        assert await do(a, "request b hello") == "got:hello"
