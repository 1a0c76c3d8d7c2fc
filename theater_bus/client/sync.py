"""The client without `await`, for scripts and notebooks: the same names, each call blocks until its answer is there.

Everything runs on one event loop in a thread of its own, so it also works in a thread whose own loop is running. Calls
may come from any thread. The thread never keeps the interpreter alive: what is open at exit is closed, within bounds.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from theater_bus.bus import BusSettings
from theater_bus.client.actor import ActorHandle, Params
from theater_bus.client.chain import AnySegment, ChainView
from theater_bus.client.connecting import Connecting, Servers, connect
from theater_bus.client.inspection import Inspection
from theater_bus.client.session import DEFAULT_TIMEOUT_S
from theater_bus.client.streaming import CallStream
from theater_bus.client.sugar import Calls, bind
from theater_bus.client.theater import Begin, Theater
from theater_bus.client.unset import UNSET, Unset
from theater_bus.core.chain.events import Event
from theater_bus.core.wire.subjects import DEFAULT_NAMESPACE
from theater_bus.errors import ChannelClosed
from theater_bus.telemetry import Telemetry

__all__ = ["SyncActorHandle", "SyncChainView", "SyncTheater", "connect_sync"]

CLOSE_S = 5.0
EXIT_S = 2.0

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _Runner:
    """An event loop in a daemon thread; `run` waits there for a coroutine."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._waiting: set[Future[Any]] = set()
        self._letting_go: set[asyncio.Task[Any]] = set()
        self._ended = False
        self._thread = threading.Thread(target=self._serve, name="theater-bus client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """The result of `coroutine`; an interrupt (Ctrl-C) cancels it. Raises `ChannelClosed` after `stop`."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("this is the client's own thread, which must not wait for itself. Fix: use connect()")
        try:
            future: Future[R] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise ChannelClosed("the client was closed, so nothing was sent") from None
        self._waiting.add(future)
        if self._ended:
            future.cancel()  # scheduled on a loop that turns no more
        try:
            return future.result()
        except CancelledError:
            raise ChannelClosed("the client was closed meanwhile", ran="unknown") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            self._waiting.discard(future)

    def let_go(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run what cleans up: at once, or, when the garbage collector asks on the loop's own thread, soon."""
        if threading.current_thread() is not self._thread:
            try:
                self.run(coroutine)
            except ChannelClosed:
                return  # the loop is gone, and with it what was to be cleaned up
        elif self._loop.is_running():
            task = self._loop.create_task(coroutine)
            self._letting_go.add(task)
            task.add_done_callback(self._letting_go.discard)
        else:
            coroutine.close()

    def stop(self, timeout_s: float) -> None:
        """End the loop and its thread; what still runs is cancelled."""
        try:
            self._loop.call_soon_threadsafe(self._loop.stop)
        except RuntimeError:
            return  # stopped before
        self._thread.join(timeout_s)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_end_tasks())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._ended = True
            for future in list(self._waiting):
                future.cancel()


class _Wrapper(Generic[A]):
    """Something of the client, and the loop that it lives on."""

    __slots__ = ("_inner", "_runner")

    def __init__(self, inner: A, runner: _Runner) -> None:
        self._inner = inner
        self._runner = runner

    def __repr__(self) -> str:
        return f"<sync {self._inner!r}>"


def _blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[_Wrapper[A], P], R]:
    """The method of a wrapper that waits for the method of what it wraps."""

    @wraps(method)
    def wait(self: _Wrapper[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._runner.run(method(self._inner, *args, **kwargs))

    return wait


class SyncCalls(_Wrapper[Calls]):
    """Functions of an actor as blocking methods: `handle.call.increment(5)`."""

    __slots__ = ()

    def __call__(self, *, timeout: float = DEFAULT_TIMEOUT_S, keyed: bool | None = None) -> SyncCalls:
        """The same functions with other options of `call_function`."""
        return SyncCalls(self._inner(timeout=timeout, keyed=keyed), self._runner)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Callable[..., Any]:
        method = self._inner[name]
        return lambda *args, **kwargs: self._runner.run(method(*args, **kwargs))


class SyncInspection(_Wrapper[Inspection]):
    """As `Inspection`, blocking."""

    __slots__ = ()

    exports = _blocking(Inspection.exports)
    manifest = _blocking(Inspection.manifest)
    operation = _blocking(Inspection.operation)


class SyncChainView(_Wrapper[ChainView]):
    """As `ChainView`, with ordinary iterators."""

    __slots__ = ()

    all = _blocking(ChainView.all)
    export = _blocking(ChainView.export)

    def __iter__(self) -> Iterator[Event]:
        return _iterate(self._runner, self._inner.__aiter__())

    def follow(self) -> Iterator[Event]:
        """The events until now and then each as it is accepted, until the actor's `exit`."""
        return _iterate(self._runner, self._inner.follow())

    def segments(self) -> Iterator[AnySegment]:
        """The segments until now."""
        return _iterate(self._runner, self._inner.segments())

    def follow_segments(self) -> Iterator[AnySegment]:
        """As `follow`, in segments."""
        return _iterate(self._runner, self._inner.follow_segments())


class SyncCallStream(_Wrapper[CallStream]):
    """As `CallStream`, blocking."""

    __slots__ = ()

    result = _blocking(CallStream.result)

    def __enter__(self) -> Self:
        self._runner.run(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._inner.__aexit__(kind, error, trace))

    def __iter__(self) -> Iterator[Any]:
        return _iterate(self._runner, aiter(self._inner))


class SyncActorHandle(_Wrapper[ActorHandle]):
    """As `ActorHandle`, blocking."""

    __slots__ = ("call", "inspect")

    def __init__(self, inner: ActorHandle, runner: _Runner) -> None:
        super().__init__(inner, runner)
        self.call = SyncCalls(inner.call, runner)
        self.inspect = SyncInspection(inner.inspect, runner)

    @property
    def id(self) -> str:
        """The actor's id."""
        return self._inner.id

    call_function = _blocking(ActorHandle.call_function)

    def stream_function(
        self,
        name: str,
        params: Params | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        key: str | None = None,
        keyed: bool | None = None,
    ) -> SyncCallStream:
        """As `ActorHandle.stream_function`, with `with` and an ordinary iterator."""
        return SyncCallStream(
            self._inner.stream_function(name, params, timeout=timeout, key=key, keyed=keyed), self._runner
        )

    handle_wasi_http_request = _blocking(ActorHandle.handle_wasi_http_request)
    call_function_pack_void = _blocking(ActorHandle.call_function_pack_void)
    send = _blocking(ActorHandle.send)
    get_state = _blocking(ActorHandle.get_state)
    get_metrics = _blocking(ActorHandle.get_metrics)
    get_export_hashes = _blocking(ActorHandle.get_export_hashes)
    get_status = _blocking(ActorHandle.get_status)
    shutdown = _blocking(ActorHandle.shutdown)
    terminate = _blocking(ActorHandle.terminate)
    pause = _blocking(ActorHandle.pause)
    resume = _blocking(ActorHandle.resume)
    cancel = _blocking(ActorHandle.cancel)
    approve = _blocking(ActorHandle.approve)

    def get_chain(self, from_seq: int = 0) -> SyncChainView:
        """The event chain from `from_seq` on, to iterate."""
        return SyncChainView(self._inner.get_chain(from_seq), self._runner)

    def bind(
        self, protocol: Callable[..., T], *, interface: str | None = None, timeout: float = DEFAULT_TIMEOUT_S
    ) -> T:
        """The actor as `protocol`, whose methods here are plain `def`."""
        return bind(self._inner, protocol, interface, timeout, run=self._runner.run)


class SyncTheater(_Wrapper[Theater]):
    """As `Theater`, blocking. Made by `connect_sync`; ended by `close` or `with`."""

    __slots__ = ("__weakref__",)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def namespace(self) -> str:
        """The namespace."""
        return self._inner.namespace

    @property
    def connected(self) -> bool:
        """Whether messages travel now."""
        return self._inner.connected

    where = _blocking(Theater.where)
    actors = _blocking(Theater.actors)
    hosts = _blocking(Theater.hosts)
    host_info = _blocking(Theater.host_info)
    drain = _blocking(Theater.drain)

    def actor(self, actor_id: str) -> SyncActorHandle:
        """The handle of an actor. Nobody is asked, so it need not exist."""
        return SyncActorHandle(self._inner.actor(actor_id), self._runner)

    def spawn(
        self,
        manifest: Path | str | Mapping[str, Any],
        *,
        package: bytes | Path | str | None = None,
        id: str | None = None,
        state: Any | Unset = UNSET,
        host: str | None = None,
        begin: Begin = "new",
        variables: Mapping[str, Any] | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> SyncActorHandle:
        """Start an actor; returns its handle when it answers. As `Theater.spawn`."""
        spawning = self._inner.spawn(
            manifest,
            package=package,
            id=id,
            state=state,
            host=host,
            begin=begin,
            variables=variables,
            timeout=timeout,
        )
        return SyncActorHandle(self._runner.run(spawning), self._runner)

    def watch(self, actor_id: str) -> Iterator[Event]:
        """The events of an actor from now on, live, until its exit."""
        return _iterate(self._runner, self._inner.watch(actor_id))

    def close(self, timeout: float = CLOSE_S) -> None:
        """End the connection, the loop and its thread. Closing twice is fine."""
        _OPEN.discard(self)
        try:
            self._runner.run(_closed(self._inner, timeout))
        except (ChannelClosed, TimeoutError):
            pass  # closed before, or the server is gone: the loop ends all the same
        finally:
            self._runner.stop(timeout)


def connect_sync(
    servers: Servers | None = None,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    options: BusSettings | None = None,
    telemetry: Telemetry | None = None,
    caller: str | None = None,
) -> SyncTheater:
    """Connect, as `connect` does, and wait for it: `with connect_sync() as theater: …`.

    Raises `ConnectionLost` and `ConfigurationError` as `connect` does.
    """
    connecting = connect(servers, namespace=namespace, options=options, telemetry=telemetry, caller=caller)
    runner = _Runner()
    try:
        theater = SyncTheater(runner.run(_connected(connecting)), runner)
    except BaseException:
        runner.stop(CLOSE_S)
        raise
    _OPEN.add(theater)
    return theater


_OPEN: weakref.WeakSet[SyncTheater] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for theater in list(_OPEN):
        theater.close(EXIT_S)


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _closed(theater: Theater, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        await theater.close()


async def _connected(connecting: Connecting) -> Theater:
    return await connecting


def _iterate(runner: _Runner, items: AsyncIterator[T]) -> Iterator[T]:
    async def following() -> tuple[bool, Any]:
        try:
            return True, await anext(items)
        except StopAsyncIteration:
            return False, None

    async def end() -> None:
        if inspect.isasyncgen(items):
            await items.aclose()

    try:
        while True:
            more, item = runner.run(following())
            if not more:
                return
            yield item
    finally:
        runner.let_go(end())
