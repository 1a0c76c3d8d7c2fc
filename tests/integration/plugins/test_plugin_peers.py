"""Peer functions: what reaches a capability from outside of its actor, what it makes of it, and who is refused."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from theater_bus.capability import LATER, Callback, Capability, PeerReply, PeerRequest
from theater_bus.errors import (
    FunctionNotFound,
    GuestError,
    HandlerError,
    KeyReused,
    Overloaded,
    PermissionDenied,
    PluginError,
    TypeMismatch,
)
from theater_bus.plugins import compile_capability

PACT = """
@package: string = "test:post"
@calls: list<string> = ["test:post/post-client"]

interface post {
    exports {
        ask: func(actor: string, text: string) -> string
    }
}
"""
PEERS = """
@package: string = "test:post"

interface peer-post {
    exports {
        put: func(text: string, bytes: list<u8>) -> u64
        size: func() -> u64
        later: func(text: string) -> string
        bad: func(how: string)
    }
}
"""
HANDLERS = """
@package: string = "test:post"

interface post-client {
    exports {
        handle: func(state: u64, text: string) -> result<tuple<u64, u64>, string>
    }
}
"""


class Post(Capability):
    """Counts what its peers put."""

    name = "post"
    pact = PACT
    peer_pact = PEERS
    asked: ClassVar[list[PeerRequest]]
    ended: ClassVar[list[Any]]
    kept: ClassVar[list[PeerReply]]

    async def ask(self, actor: str, text: str) -> str:
        return str(await self.context.call_actor(actor, "test:post/peer-post.put", [text, b""]))

    def peer_put(self, request: PeerRequest, text: str, bytes: bytes) -> Callback:
        self.asked.append(request)
        done = lambda error, answer: self.ended.append((error and error.code, answer))  # noqa: E731
        return Callback("test:post/post-client.handle", [text], answer=lambda value: value, done=done)

    def peer_size(self, request: PeerRequest) -> int:
        return len(self.asked)

    def peer_later(self, request: PeerRequest, text: str) -> Callback:
        return Callback("test:post/post-client.handle", [text], answer=lambda _: LATER, later=self.kept.append)

    def peer_bad(self, request: PeerRequest, how: str) -> Any:
        if how == "raise":
            raise RuntimeError("on purpose")
        if how == "refuse":
            raise Overloaded("no room", bound="post")
        return Callback("test:post/post-client.nothing" if how == "missing" else "test:post/post-client.handle", [5])


class Handlers(Capability):
    """The actor's own code: adds the length of a text."""

    name = "handlers"
    pact = HANDLERS

    def handle(self, state: int, text: str) -> list[int]:
        if text == "fail":
            raise ValueError("the guest's own code fails")
        return [state + len(text), state + len(text)]


class Other(Capability):
    """A capability that has no business with the peers of `post`."""

    name = "other"
    pact = '@package: string = "test:other"\ninterface other {\nexports {\ngo: func(to: string) -> string\n}\n}'

    async def go(self, to: str) -> str:
        try:
            return str(await self.context.call_actor(to, "test:post/peer-post.put", ["x", b""]))
        except PermissionDenied as error:
            return error.message


@pytest.fixture
def post() -> type[Post]:
    """A class of its own for every test."""
    return type("TestPost", (Post,), {"asked": [], "ended": [], "kept": []})


@pytest.fixture
async def stage(start_host: Any, post: Any, relay: Any) -> Any:
    """`host, a, b`: two actors that are peers."""
    host = await start_host(post, Handlers, Other)
    options: dict[str, Any] = {"state": 0, "capabilities": {"post": {}, "handlers": {}}}
    package = relay(post, handlers=Handlers)
    return host, await host.spawn(package, id="a", **options), await host.spawn(package, id="b", **options)


async def test_a_peer_calls_back_and_is_answered(stage: Any, post: Any, bodies: Any) -> None:
    _, a, b = stage
    assert await a.call_function("ask", ["b", "abc"]) == "3"
    (request,) = post.asked
    assert (request.caller, request.is_actor, request.proof, request.is_repeat) == ("a", True, "none", False)
    assert request.has_reply
    assert request.key is not None
    assert post.ended == [(None, 3)]
    call = (await bodies(b, "call"))[-1]
    assert (call.function, call.caller, call.identity) == ("test:post/post-client.handle", "a", request.key)
    with pytest.raises(FunctionNotFound):
        await b.call_function("test:post/post-client.handle", ["abc"])


async def test_clients_call_peer_functions_in_every_form(stage: Any, post: Any) -> None:
    host, _, b = stage
    assert await b.call_function("test:post/peer-post.put", {"text": "ab", "bytes": b"x"}) == 2
    subject = f"theater.{host.host.namespace}.ops.b.test:post/peer-post.put"
    reply = await host.host.bus.operations.request_one(subject, b'["c", [1, 2]]', timeout_s=10)
    assert reply.data == b"3"
    assert await b.call_function("test:post/peer-post.size") == 2
    await b.send("test:post/peer-post.put", ["", b""])
    assert not post.asked[0].is_actor
    for params in (["a"], [1, b""], ["a", b"", 1], {"text": "a"}, {"text": "a", "bites": b""}):
        with pytest.raises(TypeMismatch):
            await b.call_function("test:post/peer-post.put", params)


async def test_repeats_are_answered_with_the_first_answer(stage: Any, post: Any) -> None:
    _, _, b = stage
    for _ in range(2):
        assert await b.call_function("test:post/peer-post.put", ["abc", b""], key="k1") == 3
    assert [request.is_repeat for request in post.asked] == [False, True]
    assert (await b.get_state()) == 3
    with pytest.raises(KeyReused):
        await b.call_function("test:post/peer-post.put", ["other", b""], key="k1")
    assert post.ended[-1] == ("key-reused", None)


async def test_a_reply_may_be_kept_and_given_once(stage: Any, post: Any, eventually: Any) -> None:
    import asyncio

    _, _, b = stage
    asked = asyncio.ensure_future(b.call_function("test:post/peer-post.later", ["x"]))
    await eventually(lambda: post.kept)
    with pytest.raises(TypeMismatch):
        post.kept[0].answer(5)
    post.kept[0].answer("at last")
    post.kept[0].answer("again")
    assert await asked == "at last"


async def test_what_a_capability_refuses_or_gets_wrong_is_told(stage: Any, post: Any) -> None:
    _, _, b = stage
    with pytest.raises(Overloaded, match="no room"):
        await b.call_function("test:post/peer-post.bad", ["refuse"])
    with pytest.raises(HandlerError, match="host's log has the cause") as caught:
        await b.call_function("test:post/peer-post.bad", ["raise"])
    assert caught.value.ran == "never"
    with pytest.raises(FunctionNotFound):
        await b.call_function("test:post/peer-post.bad", ["missing"])
    with pytest.raises(TypeMismatch):
        await b.call_function("test:post/peer-post.bad", ["types"])
    with pytest.raises(HandlerError):
        await b.call_function("test:post/peer-post.put", ["fail", b""])
    assert post.ended == [("capability-failed", None)]
    assert await b.call_function("test:post/peer-post.put", ["ok", b""]) == 2


async def test_another_capability_does_not_reach_the_peers(stage: Any) -> None:
    host, _, _ = stage
    other = await host.spawn(Other, id="other")
    assert "reached by the capability 'post' only" in await other.call_function("go", ["b"])


async def test_an_err_of_the_guest_is_the_answer(start_host: Any, post: Any, relay: Any) -> None:
    class Failing(Handlers):
        def handle(self, state: int, text: str) -> list[int]:
            from theater_bus.capability import CapabilityError

            raise CapabilityError("no thanks")

    host = await start_host(post, Failing)
    b = await host.spawn(relay(post, handlers=Failing), id="b", state=0, capabilities={"post": {}, "handlers": {}})
    with pytest.raises(GuestError, match="no thanks"):
        await b.call_function("test:post/peer-post.put", ["x", b""])
    assert post.ended == [("guest-error", None)]


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        ({}, "there is no method peer_go, but"),
        ({"peer_go": lambda self, request: None}, "it does not take 2 parameters"),
        ({"peer_go": lambda self, request, a, b: None}, "it does not take 2 parameters"),
    ],
)
def test_methods_and_the_peer_pact_must_agree(methods: dict[str, Any], says: str) -> None:
    pact = '@package: string = "t:p"\ninterface p {\nexports {\ngo: func(a: u8)\n}\n}'
    cls = type("Wrong", (Other,), {"name": "wrong", "peer_pact": pact, **methods})
    with pytest.raises(PluginError, match=says):
        compile_capability("wrong", cls)


def test_peer_functions_are_judged_at_once() -> None:
    class Waiting(Post):
        async def peer_size(self, request: PeerRequest) -> int:  # type: ignore[override]
            return 1

    with pytest.raises(PluginError, match="it is async, and requests of peers are judged at once"):
        compile_capability("waiting", Waiting)

    class Typed(Post):
        def peer_later(self, request: PeerRequest, text: int) -> Callback:  # type: ignore[override]
            return Callback("")

    with pytest.raises(PluginError, match="parameter 'text' is int, and string arrives as str"):
        compile_capability("typed", Typed)
