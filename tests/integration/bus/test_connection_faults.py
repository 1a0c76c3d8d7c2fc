"""What a connection does when the server goes, comes back, complains or refuses."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from theater_bus.bus import Bus, BusFailure, BusSettings, Connection, ConnectionEvent, EmbeddedServer, Outcome
from theater_bus.errors import ConnectionLost, Overloaded, PermissionDenied

Open = Callable[..., Awaitable[Connection]]
StartServer = Callable[..., Awaitable[EmbeddedServer]]
QUICK = {"reconnect_wait_s": 0.05, "ping_interval_s": 0.3}
LIMITED = "max_payload: 1024\nmax_subs: 40\n"


@pytest.fixture(params=[True, False], ids=["light", "public"])
def open_connection(request: pytest.FixtureRequest, connect: Open) -> Open:
    async def opened(url: str, **options: Any) -> Connection:
        return await connect(url, light_subscriptions=request.param, **QUICK, **options)

    return opened


class Events:
    """Remembers what an observer was told and waits for the next event of a kind."""

    def __init__(self, connection: Connection) -> None:
        self.seen: list[ConnectionEvent] = []
        self._changed = asyncio.Event()
        connection.observe(self)

    def __call__(self, event: ConnectionEvent) -> None:
        self.seen.append(event)
        self._changed.set()

    async def wait(self, event: ConnectionEvent, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.seen.count(event) < count:
                self._changed.clear()
                await self._changed.wait()


def echo(connection: Connection, subject: str) -> None:
    connection.subscribe(subject, lambda message: connection.publish(message.reply, message.data))


async def test_a_server_killed_and_restarted_under_load_leaves_no_request_without_an_outcome(
    open_connection: Open, start_server: StartServer
) -> None:
    server = await start_server()
    host, caller = await open_connection(server.url), await open_connection(server.url)
    echo(host, "load.echo")
    host.subscribe("load.silent", lambda message: None)
    await host.ready()
    events = Events(caller), Events(host)
    outcomes: Counter[str] = Counter()
    stop = False

    async def worker() -> None:
        while not stop:
            ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            try:
                caller.request("load.echo", b"x", timeout_s=3, on_reply=ended.set_result)
            except ConnectionLost:
                outcomes["refused"] += 1
                await asyncio.sleep(0.005)
                continue
            outcome = await ended
            outcomes[outcome.value if isinstance(outcome, BusFailure) else "reply"] += 1

    async with asyncio.timeout(30):
        workers = [asyncio.create_task(worker()) for _ in range(32)]
        while outcomes["reply"] < 500:
            await asyncio.sleep(0.01)
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        caller.request("load.silent", b"", timeout_s=30, on_reply=waiting.set_result)
        server.kill()
        for watcher in events:
            await watcher.wait(ConnectionEvent.DISCONNECTED)
        assert await waiting is BusFailure.DISCONNECTED
        await server.restart()
        for watcher in events:
            await watcher.wait(ConnectionEvent.RECONNECTED)
        before = outcomes["reply"]
        while outcomes["reply"] < before + 500:
            await asyncio.sleep(0.01)
        stop = True
        await asyncio.gather(*workers)
    assert outcomes["refused"] >= 1
    assert outcomes["timeout"] == 0
    assert caller.pending_requests == 0


async def test_what_is_published_while_reconnecting_arrives_afterwards(
    open_connection: Open, start_server: StartServer, new_inbox: Callable[[], Any]
) -> None:
    server = await start_server()
    connection, inbox = await open_connection(server.url), new_inbox()
    events = Events(connection)
    connection.subscribe("while.gone", inbox)
    server.kill()
    await events.wait(ConnectionEvent.DISCONNECTED)
    assert not connection.connected
    connection.publish("while.gone", b"kept")
    with pytest.raises(ConnectionLost):
        connection.request("while.gone", b"", timeout_s=1, on_reply=inbox)
    late = new_inbox()
    connection.subscribe("while.gone.too", late)
    connection.subscribe("while.gone.not", late).unsubscribe()
    await server.restart()
    await events.wait(ConnectionEvent.RECONNECTED)
    assert [m.data for m in await inbox.wait(1)] == [b"kept"]
    connection.publish("while.gone.too", b"new")
    connection.publish("while.gone.not", b"never")
    await connection.ready()
    assert [m.data for m in late.messages] == [b"new"]


@pytest.mark.parametrize("cause", ["payload", "subscriptions"])
async def test_a_fatal_error_is_followed_by_a_new_client_with_all_subscriptions(
    open_connection: Open, start_server: StartServer, recorder: Any, cause: str
) -> None:
    server = await start_server(config=LIMITED, jetstream=False)
    connection = await open_connection(server.url, instrumentation=recorder)
    events = Events(connection)
    for number in range(20):
        echo(connection, f"fatal.{number}")
    gone = connection.subscribe("fatal.gone", lambda message: None)
    gone.unsubscribe()
    await connection.ready()
    connection.subscribe("fatal.silent", lambda message: None)
    waiting = asyncio.Future[Outcome]()
    connection.request("fatal.silent", b"", timeout_s=30, on_reply=waiting.set_result)
    if cause == "payload":
        connection._max_payload = 1 << 20  # past our own guard, as a server that lowers its limit would be
        connection._client._max_payload = 1 << 20
        connection.publish("fatal.0", b"x" * 2000)
    else:
        over = [connection.subscribe(f"fatal.over.{number}", lambda message: None) for number in range(40)]
        await events.wait(ConnectionEvent.DISCONNECTED)
        for subscription in over:
            subscription.unsubscribe()
    assert await asyncio.wait_for(waiting, 10) is BusFailure.DISCONNECTED
    await events.wait(ConnectionEvent.RECONNECTED)
    for number in range(20):
        assert (await connection.request_one(f"fatal.{number}", b"again", timeout_s=5)).data == b"again"
    assert connection.max_payload == 1024
    assert recorder.counts["theater.bus.rebuilds"] >= 1
    reasons = [str(fields["reason"]).lower() for name, fields in recorder.events if name == "bus.rebuilt"]
    assert cause in reasons[0]


async def test_a_rebuild_waits_for_a_server_that_is_away(open_connection: Open, start_server: StartServer) -> None:
    server = await start_server(config=LIMITED, jetstream=False)
    connection = await open_connection(server.url)
    events = Events(connection)
    echo(connection, "away")
    connection._client._max_payload = connection._max_payload = 1 << 20
    connection.publish("away", b"x" * 2000)
    await connection._client._transport.drain()
    await events.wait(ConnectionEvent.DISCONNECTED)
    server.kill()
    with pytest.raises(ConnectionLost):
        connection.request("away", b"", timeout_s=1, on_reply=lambda outcome: None)
    await server.restart()
    async with asyncio.timeout(20):
        while True:
            try:
                assert (await connection.request_one("away", b"x", timeout_s=5)).data == b"x"
                break
            except ConnectionLost:
                await asyncio.sleep(0.02)


async def test_closing_ends_a_reconnecting_that_misses_cancellations(
    open_connection: Open, start_server: StartServer
) -> None:
    """As nats-py's does when it is cancelled in the moment in which an attempt fails."""
    server = await start_server(jetstream=False)
    connection = await open_connection(server.url)
    missed = 0

    async def reconnecting() -> None:
        nonlocal missed
        while missed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                missed += 1

    attempt = connection._client._reconnection_task = asyncio.create_task(reconnecting())
    await asyncio.sleep(0)
    await connection.close()
    assert attempt.done()
    assert missed == 3


async def test_closing_while_rebuilding_leaves_nothing_behind(open_connection: Open, start_server: StartServer) -> None:
    server = await start_server(config=LIMITED, jetstream=False)
    connection = await open_connection(server.url)
    events = Events(connection)
    connection._client._max_payload = connection._max_payload = 1 << 20
    connection.publish("x", b"x" * 2000)
    await events.wait(ConnectionEvent.DISCONNECTED)
    server.kill()
    await connection.close()
    assert events.seen[-1] is ConnectionEvent.CLOSED
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "nats" in repr(task.get_coro()) or "lifeline" in repr(task.get_coro())]


async def test_a_server_that_falls_silent_is_noticed_by_pings(open_connection: Open, start_server: StartServer) -> None:
    server = await start_server()
    connection = await open_connection(server.url, max_outstanding_pings=1)
    events = Events(connection)
    echo(connection, "silent.server")
    connection.subscribe("silent.subscriber", lambda message: None)
    await connection.ready()
    server.signal(signal.SIGSTOP)
    # To one who never answers: a server that is told to stop may still pass on what comes in the same moment.
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    connection.request("silent.subscriber", b"", timeout_s=30, on_reply=outcome.set_result)
    assert await asyncio.wait_for(outcome, 10) is BusFailure.DISCONNECTED
    server.signal(signal.SIGCONT)
    await events.wait(ConnectionEvent.RECONNECTED)
    assert (await connection.request_one("silent.server", b"x", timeout_s=5)).data == b"x"


async def test_an_observer_that_fails_does_not_keep_the_others_from_being_told(
    open_connection: Open, start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start_server()
    connection = await open_connection(server.url)

    def broken(event: ConnectionEvent) -> None:
        raise RuntimeError("no")

    connection.observe(broken)
    forgotten: list[ConnectionEvent] = []
    connection.observe(forgotten.append)()
    events = Events(connection)
    server.kill()
    await events.wait(ConnectionEvent.DISCONNECTED)
    assert "an observer of the connection failed" in caplog.messages[0]
    assert forgotten == []


async def test_a_server_in_lame_duck_mode_is_announced(open_connection: Open, start_server: StartServer) -> None:
    server = await start_server(config="lame_duck_duration: 30s\nlame_duck_grace_period: 1s", jetstream=False)
    connection = await open_connection(server.url)
    events = Events(connection)
    server.signal(signal.SIGUSR2)
    await events.wait(ConnectionEvent.LAME_DUCK)


PERMISSIONS = """
authorization { users = [
  {user: all, password: p}
  {user: limited, password: p, permissions: {
    publish: {allow: ["ok.>"]}, subscribe: {allow: ["_INBOX_limited.>", "ok.>"]}}}
]}
"""


async def test_a_forbidden_request_fails_at_once_and_others_go_on(
    open_connection: Open, start_server: StartServer, recorder: Any
) -> None:
    server = await start_server(config=PERMISSIONS)
    everything = await open_connection(server.url, user="all", password="p")
    connection = await open_connection(
        server.url, user="limited", password="p", inbox_prefix="_INBOX_limited", instrumentation=recorder
    )
    echo(everything, "ok.Echo")
    await everything.ready()
    with pytest.raises(PermissionDenied) as caught:
        await connection.request_one("Forbidden.Thing", b"", timeout_s=30)
    assert caught.value.ran == "never"
    assert (await connection.request_one("ok.Echo", b"x", timeout_s=5)).data == b"x"
    assert connection.stats.permission_denials == 1
    assert [name for name, _ in recorder.events] == ["bus.connected", "bus.permission_denied"]
    with pytest.raises(PermissionDenied):
        async for _ in connection.request_many("Forbidden.Thing", timeout_s=30):
            pass


async def test_ready_works_for_a_user_who_may_not_publish_and_names_refused_subscriptions(
    open_connection: Open, start_server: StartServer, new_inbox: Callable[[], Any]
) -> None:
    server = await start_server(config=PERMISSIONS)
    connection = await open_connection(server.url, user="limited", password="p", inbox_prefix="_INBOX_limited")
    connection.subscribe("ok.fine", new_inbox())
    await connection.ready()
    refused = connection.subscribe("Not.Ok", new_inbox())
    with pytest.raises(PermissionDenied, match=r"Not\.Ok"):
        await connection.ready()
    refused.unsubscribe()
    await connection.ready()


async def test_a_forbidden_inbox_refuses_requests_at_once_and_says_what_to_set(
    open_connection: Open, start_server: StartServer
) -> None:
    server = await start_server(config=PERMISSIONS)
    connection = await open_connection(server.url, user="limited", password="p")
    with pytest.raises(PermissionDenied):
        await connection.request_one("ok.anything", b"", timeout_s=30)
    with pytest.raises(PermissionDenied, match="inbox_prefix"):
        connection.request("ok.anything", b"", timeout_s=30, on_reply=lambda outcome: None)


async def test_the_two_connections_of_a_host_fail_and_recover_one_by_one(start_server: StartServer) -> None:
    server = await start_server(config=LIMITED, jetstream=False)
    settings = BusSettings(servers=(server.url,), reconnect_wait_s=0.05)
    async with await Bus.open(settings) as bus:
        echo(bus.operations, "two.operations")
        echo(bus.services, "two.services")
        await bus.ready()
        events = Events(bus.operations)
        bus.operations._client._max_payload = bus.operations._max_payload = 1 << 20
        bus.operations.publish("two.operations", b"x" * 2000)
        await events.wait(ConnectionEvent.DISCONNECTED)
        assert not bus.connected
        assert (await bus.services.request_one("two.services", b"x", timeout_s=5)).data == b"x"
        await events.wait(ConnectionEvent.RECONNECTED)
        assert (await bus.services.request_one("two.operations", b"x", timeout_s=5)).data == b"x"
        await bus.drain()
        assert not bus.connected


async def test_what_waits_to_be_written_is_bounded(
    open_connection: Open, start_server: StartServer, new_inbox: Callable[[], Any]
) -> None:
    server = await start_server()
    connection, inbox = await open_connection(server.url, pending_bytes=100_000), new_inbox()
    connection.subscribe("bounded", inbox)
    for _ in range(90):
        connection.publish("bounded", b"x" * 1000)
    sent = 90
    with pytest.raises(Overloaded) as caught:  # noqa: PT012
        while sent < 1000:
            connection.publish("bounded", b"x" * 1000)
            sent += 1
    assert caught.value.details["bound"] == "pending_bytes"
    await connection.flush()
    connection.publish("bounded", b"")
    assert len(await inbox.wait(sent + 1)) == sent + 1
    assert (connection.connected, connection.stats.overloaded) == (True, 1)


async def test_a_burst_of_messages_lets_the_loop_turn(connect: Open) -> None:
    connection, sender = await connect(), await connect()
    handled = turned_at = longest = 0
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle(message: Any) -> None:
        nonlocal handled
        handled += 1
        if handled == 20_000:
            done.set()

    def turn() -> None:
        nonlocal turned_at, longest
        longest, turned_at = max(longest, handled - turned_at), handled
        if not done.is_set():
            loop.call_soon(turn)

    connection.subscribe("burst", handle)
    await connection.ready()
    for _ in range(20_000):
        sender.publish("burst", b"0123456789")
    loop.call_soon(turn)
    async with asyncio.timeout(30):
        await done.wait()
    # One portion of 16 KiB holds 600 of these; without portions the reader takes thousands at a time.
    assert longest < 800
