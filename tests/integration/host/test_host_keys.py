"""Idempotency keys: a repeat joins, replays, or is refused; callers with a name have keys of their own."""

from __future__ import annotations

from theater_bus.errors import Cancelled, GuestError, KeyReused, OperationTimeout

from .conftest import Stage, eventually, one_kind, packed


async def test_a_key_repeated_while_running_joins_and_all_get_the_answer(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    calls = [stage.start(stage.call("a", "add-held", 5, op="k")) for _ in range(3)]
    bare = stage.start(stage.ask(stage.subject("a", "add-held"), b"[5]", headers={"Theater-Op": "k"}))
    gate = await stage.gates.arrival("held")
    await eventually(lambda: actor.current is not None and len(actor.current.answers) == 4)
    gate.set_result("")
    assert [await one for one in calls] == [5, 5, 5]
    assert await bare == 5
    assert (await stage.info("a", "state"))["state"] == 5


async def test_a_key_repeated_while_queued_joins(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    await stage.control("a", "pause")
    calls = [stage.start(stage.call("a", "add", 5, op="k")) for _ in range(3)]
    await eventually(lambda: len(actor.mailbox) == 1 and len(next(iter(actor.mailbox)).answers) == 3)
    await stage.control("a", "resume")
    assert [await one for one in calls] == [5, 5, 5]


async def test_a_key_repeated_after_commit_replays_in_the_form_asked_for_now(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    assert await stage.call("a", "add", 5, op="k") == 5
    assert await stage.call("a", "add", 1) == 6
    assert await stage.call("a", "add", 5, op="k") == 5
    assert await stage.ask(stage.subject("a", "add"), b'{"by":5}', headers={"Theater-Op": "k"}) == 5
    assert isinstance(await stage.call("a", "add", 5, op="k", reply="cgrf"), bytes)
    assert await stage.call("a", "add", 5, op="k", reply="none") is None
    assert (await stage.info("a", "state"))["state"] == 6


async def test_a_guest_error_is_replayed_as_the_error_that_it_was(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    errors = [await stage.error(stage.call("a", "refuse", op="k")) for _ in range(2)]
    assert [(type(one), one.message, one.ran) for one in errors] == [(GuestError, "overflow", "committed")] * 2
    assert len(await stage.events("a")) == 5


async def test_a_key_with_other_parameters_is_refused_also_while_it_runs(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    running = stage.start(stage.call("a", "add-held", 5, op="k"))
    gate = await stage.gates.arrival("held")
    assert isinstance(await stage.error(stage.call("a", "add-held", 6, op="k")), KeyReused)
    gate.set_result("")
    assert await running == 5
    assert isinstance(await stage.error(stage.call("a", "add", 5, op="k")), KeyReused)


@one_kind
async def test_the_key_of_another_caller_is_another_key(stage: Stage) -> None:
    await stage.spawn(await stage.host(caller_subjects=True), "a")
    assert await stage.call("a", "add.@.alice", 1, op="k") == 1
    assert await stage.call("a", "add.@.bob", 10, op="k") == 11
    assert await stage.call("a", "add", 100, op="k") == 111
    assert await stage.call("a", "add.@.alice", 1, op="k") == 1
    assert isinstance(await stage.error(stage.call("a", "add.@.bob", 1, op="k")), KeyReused)
    assert (await stage.info("a", "operation", op="k", caller="bob"))["answer"] == {"value": 11}


@one_kind
async def test_names_without_proof_share_one_scope(stage: Stage) -> None:
    await stage.spawn(await stage.host(caller_subjects=False), "a")
    assert await stage.call("a", "add.@.alice", 1, op="k") == 1
    assert await stage.call("a", "add.@.bob", 1, op="k") == 1


async def test_an_operation_that_ended_without_a_commit_runs_again_under_its_key(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "a")
    late = await stage.error(stage.call("a", "add-held", 5, op="k", timeout_ms=50))
    assert isinstance(late, OperationTimeout)
    running = stage.start(stage.call("a", "add-held", 5, op="k"))
    await stage.gates.arrival("held")
    gate = await stage.gates.arrival("held")
    gate.set_result("")
    assert await running == 5


async def test_an_answer_larger_than_the_window_keeps_is_replayed_from_the_chain(stage: Stage) -> None:
    await stage.spawn(await stage.host(), "c", guest_name="chaos")
    first = await stage.call("c", "big", 200_000, op="k")
    again = await stage.call("c", "big", 200_000, op="k")
    assert len(first) == 200_000
    assert first == again
    assert await stage.call("c", "count") == 1
    assert (await stage.info("c", "operation", op="k"))["answer"] == {"value": first}


async def test_cancel_by_reply_subject_queued_and_running(stage: Stage) -> None:
    actor = await stage.spawn(await stage.host(), "a")
    replies: dict[str, bytes] = {}
    for name, function in (("one", "add-held"), ("two", "add")):
        subject = f"_INBOX.{stage.namespace}.{name}"
        stage.connection.subscribe(subject, lambda message: replies.update({message.subject[-3:]: message.data}))
        await stage.connection.ready()
        stage.connection.publish(stage.subject("a", function), packed({"v": 1, "params": [1]}), reply=subject)
    await stage.gates.arrival("held")
    await eventually(lambda: len(actor.mailbox) == 1)
    for name, found in (("two", "queued"), ("one", "running")):
        cancelled = await stage.control("a", "cancel", reply=f"_INBOX.{stage.namespace}.{name}")
        assert cancelled == {"cancelled": found}
    await eventually(lambda: len(replies) == 2)
    assert all(Cancelled.code.encode() in data for data in replies.values())
    assert b"never" in replies["two"]
    assert b"rolled-back" in replies["one"]
    assert stage.gates.cancelled == ["held"]
    assert await stage.control("a", "cancel", op="nothing") == {"cancelled": "none"}
