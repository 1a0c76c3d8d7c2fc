"""A capability class and its pact agree, or the plugin does not load and both lines are shown."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field

from theater_bus.capability import (
    FLAG,
    HOSTS,
    NUMBER,
    STRINGS,
    Capability,
    CapabilityError,
    Settings,
    WitCapability,
    blocking,
)
from theater_bus.core.values.codec import value_codec
from theater_bus.core.values.types import ListOf, ResultOf, Scalar, TupleOf
from theater_bus.errors import PluginError, TypeMismatch
from theater_bus.plugins import compile_capability, method_name

HERE = re.escape("test_plugin_capabilities.py")


def refused(cls: type[Capability], *patterns: str) -> None:
    """The plugin is refused with every one of these patterns in the message."""
    with pytest.raises(PluginError) as caught:
        compile_capability("tools", cls)
    text = str(caught.value)
    assert text.startswith("plugin 'tools' cannot be used\n  in: ")
    for pattern in patterns:
        assert re.search(pattern, text), text


def test_a_class_that_agrees_is_compiled_into_its_functions(capability: Any) -> None:
    def now(self: Any) -> int:
        return 1

    async def sleep(self: Any, until: int) -> None: ...

    @blocking
    def read(self: Any, path: str) -> bytes:
        return b""

    def post(self: Any, text: str) -> None: ...

    found = compile_capability(
        "tools",
        capability(
            "now: func() -> u64\nsleep: func(until: u64) -> result<_, string>\nread: func(path: string) -> list<u8>\n"
            "post: func(text: string)",
            annotations='@external: list<string> = ["sleep"]\n@queued: list<string> = ["post"]\n'
            '@calls: list<string> = ["test:tool/client"]',
            now=now,
            sleep=sleep,
            read=read,
            post=post,
        ),
    )
    api = "test:tool/api"
    assert (found.name, found.plugin, found.calls, found.pact.source) == (
        "tool",
        "tools",
        ("test:tool/client",),
        "Tool.pact",
    )
    assert [(f.name, f.call, f.effect, f.fallible) for f in found.functions.values()] == [
        ("now", "plain", "none", False),
        ("sleep", "async", "external", True),
        ("read", "blocking", "none", False),
        ("post", "plain", "queued", False),
    ]
    assert list(found.hashes()) == [api]
    assert set(found.functions) == {(api, "now"), (api, "sleep"), (api, "read"), (api, "post")}


def test_the_same_name_in_two_interfaces_has_the_effect_that_its_own_interface_says() -> None:
    class Two(Capability):
        name = "two"
        pact = """
            @package: string = "test:two"
            interface a { @external: list<string> = ["put"] exports { put: func(x: u8) } }
            interface b { exports { put: func(x: u8) } }
        """

        def put(self, x: int) -> None: ...

    found = compile_capability("tools", Two).functions
    assert {interface: f.effect for (interface, _), f in found.items()} == {
        "test:two/a": "external",
        "test:two/b": "none",
    }


@pytest.mark.parametrize(
    ("function", "method"),
    [
        ("get-chain", "get_chain"),
        ("import", "import_"),
        ("self", "self_"),
        ("stop", "stop_"),
        ("name", "name_"),
        ("settings", "settings_"),
        ("context", "context_"),
        ("get", "get"),
    ],
)
def test_a_function_has_the_method_of_its_name_unless_that_is_taken(function: str, method: str) -> None:
    assert method_name(function) == method


@pytest.mark.parametrize(
    ("attributes", "problem"), [({}, "no `name`"), ({"name": ""}, "no `name`"), ({"name": "x"}, "no `pact`")]
)
def test_a_class_without_name_or_pact_is_refused(attributes: dict[str, str], problem: str) -> None:
    refused(type("Bare", (Capability,), attributes), problem, "Fix: add")


@pytest.mark.parametrize("name", ["Geo!", "key_value", "-", "../x", "ü", "a" * 65])
def test_a_name_that_no_manifest_can_hold_is_refused(capability: Any, name: str) -> None:
    cls = type("Named", (capability("now: func()", now=lambda self: None),), {"name": name})
    refused(cls, "problem: its `name` is .*, so no manifest can ask for it", "Fix: name it like")


@pytest.mark.parametrize(
    ("annotation", "default", "problem"),
    [
        (
            Annotated[int, STRINGS],
            64,
            "default of most, a bound of the kind STRINGS, must be a list of .* not 64",
        ),
        (Annotated[bool, NUMBER], True, "kind NUMBER, must be a number or .* not True"),
        (Annotated[tuple[str, ...], FLAG], (), r"kind FLAG, must be true or false, not \[\]"),
        (Annotated[tuple[str, ...], HOSTS], ("a b",), "kind HOSTS, "),
        (Annotated[int | None, NUMBER], None, "kind NUMBER, must be a number or .* not None"),
        (int, 1 << 70, "kind EXACT, holds an integer that needs more than 64 bits"),
        (Annotated[int, NUMBER], Field(), "no default for most, and a manifest may leave any setting out"),
        (Any, object(), "the defaults are no settings: Unable to serialize unknown type"),
    ],
)
def test_a_setting_whose_default_is_no_bound_is_refused(
    capability: Any, annotation: Any, default: Any, problem: str
) -> None:
    body = {"__module__": __name__, "__annotations__": {"most": annotation}, "most": default}
    settings = type("Settings", (Settings,), body)
    cls = capability("now: func()", now=lambda self: None, Settings=settings)
    refused(cls, r"in: \S+Tool\.Settings\n", f"problem: .*{problem}", "Fix: give ")
    refused(type("Wit", (WitCapability,), {"name": "wit", "Settings": settings}), problem)


def test_a_pact_file_that_is_not_there_is_refused() -> None:
    refused(type("Bare", (Capability,), {"name": "x", "pact": "nowhere.pact"}), "nowhere.pact: No such file")


def test_a_pact_that_does_not_parse_is_refused_with_its_line(capability: Any) -> None:
    refused(capability("now: func( -> u64"), r"Tool\.pact:5:")


def test_an_effect_of_a_function_that_is_not_exported_is_refused(capability: Any) -> None:
    cls = capability("now: func()", annotations='@external: list<string> = ["nwo"]', now=lambda self: None)
    refused(cls, r"Tool\.pact:3:\d+: `@external` names `nwo`, which is not exported.*now")


def test_a_pact_without_functions_is_refused() -> None:
    refused(type("Bare", (Capability,), {"name": "x", "pact": "interface a {\n}"}), "the pact exports no function")


def test_a_missing_method_is_refused_with_the_line_of_the_pact_and_what_to_write(capability: Any) -> None:
    cls = capability("find-all: func(key: list<u8>, limit: option<u32>) -> result<list<string>, string>")
    refused(
        cls,
        r"there is no method find_all, but Tool\.pact:5: find-all: func\(key: list<u8>",
        r"Fix: add `def find_all\(self, key: bytes, limit: int \| None\) -> list\[str\]`",
    )


@pytest.mark.parametrize("wrong", [staticmethod(lambda: 1), classmethod(lambda cls: 1), property(lambda self: 1), 5])
def test_what_is_no_plain_method_does_not_count(capability: Any, wrong: Any) -> None:
    refused(capability("now: func() -> u64", now=wrong), "there is no method now")


def test_another_number_of_parameters_is_refused_with_both_lines(capability: Any) -> None:
    def add(self: Any, a: int) -> int:
        return a

    refused(
        capability("add: func(a: u32, b: u32) -> u32", add=add),
        rf"in: {HERE}:\d+: Tool\.add\(self: Any, a: int\) -> int",
        "it does not take 2 parameters",
        r"Fix: make it agree with Tool\.pact:5: add: func\(a: u32, b: u32\) -> u32",
    )


def test_annotations_that_do_not_agree_are_refused_with_both_lines(capability: Any) -> None:
    def wrong_parameter(self: Any, key: str) -> int:
        return 1

    def wrong_result(self: Any, key: bytes) -> str:
        return ""

    exports = "get: func(key: list<u8>) -> result<u64, string>"
    both = (rf"in: {HERE}:\d+: Tool\.", r"agree with Tool\.pact:5: get: func\(key: list<u8>\)")
    refused(capability(exports, get=wrong_parameter), "parameter 'key' is str, and list<u8> arrives as bytes", *both)
    refused(capability(exports, get=wrong_result), "it returns str, and the pact says u64: int", *both)


def test_a_result_where_the_pact_has_none_is_refused(capability: Any) -> None:
    def go(self: Any) -> int:
        return 1

    refused(capability("go: func()", go=go), "it returns int, and the pact says nothing")


def test_an_annotation_that_cannot_be_resolved_is_refused(capability: Any) -> None:
    def get(self: Any, key: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
        ...

    refused(capability("get: func(key: string)", get=get), "an annotation cannot be resolved: name 'Nowhere'")


def test_methods_that_cannot_be_host_functions_are_refused(capability: Any) -> None:
    @blocking
    async def both(self: Any) -> None: ...

    def generator(self: Any):  # type: ignore[no-untyped-def]
        yield

    refused(capability("go: func()", go=both), "`@blocking` is for plain functions")
    refused(capability("go: func()", go=generator), "it is a generator")


def test_two_functions_with_one_method_are_refused(capability: Any) -> None:
    cls = capability("get-x: func()\nget_x: func()", get_x=lambda self: None)
    refused(cls, "`get-x` .* has the method get_x too")


# -- bound to an instance ----------------------------------------------------------------------------------------------

PAIR = TupleOf((Scalar.U32, Scalar.STRING))


def bind(cls: type[Capability]) -> Callable[[bytes], Any]:
    """The only function of `cls`, bound to an instance."""
    [function] = compile_capability("tools", cls).functions.values()

    async def on_a_thread(function: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(function)

    return function.bind(cls(None, None), on_a_thread)  # type: ignore[arg-type]


def put(value: object, type_: Any) -> bytes:
    return value_codec(type_).encode(value).standalone()


def got(data: bytes, type_: Any) -> object:
    codec = value_codec(type_)
    return codec.decode(codec.check(data))


def test_a_plain_method_answers_at_once(capability: Any) -> None:
    cls = capability("say: func(n: u32, word: string) -> string", say=lambda self, n, word: word * n)
    assert got(bind(cls)(put([2, "ab"], PAIR)), Scalar.STRING) == "abab"


def test_one_parameter_arrives_bare_and_none_as_the_empty_tuple(capability: Any) -> None:
    one = bind(capability("first: func(xs: list<string>) -> string", first=lambda self, xs: xs[0]))
    assert got(one(put(["a", "b"], ListOf(Scalar.STRING))), Scalar.STRING) == "a"
    none = bind(capability("seven: func() -> u8", seven=lambda self: 7))
    assert got(none(put([], TupleOf(()))), Scalar.U8) == 7


@pytest.mark.parametrize("way", ["async", "blocking"])
async def test_a_method_that_waits_gives_a_coroutine(capability: Any, way: str) -> None:
    async def waits(self: Any, n: int, word: str) -> str:
        await asyncio.sleep(0)
        return word * n

    @blocking
    def blocks(self: Any, n: int, word: str) -> str:
        return word * n

    cls = capability("say: func(n: u32, word: string) -> string", say=waits if way == "async" else blocks)
    assert got(await bind(cls)(put([2, "ab"], PAIR)), Scalar.STRING) == "abab"


FALLIBLE = ResultOf(Scalar.U64, Scalar.STRING)


@pytest.mark.parametrize("way", ["plain", "async", "blocking"])
async def test_a_capability_error_is_the_err_of_a_fallible_function(capability: Any, way: str) -> None:
    def plain(self: Any, n: int) -> int:
        if n == 0:
            raise CapabilityError("nothing")
        return n

    async def waits(self: Any, n: int) -> int:
        return plain(self, n)

    method = {"plain": plain, "async": waits, "blocking": blocking(plain)}[way]
    call = bind(capability("get: func(n: u64) -> result<u64, string>", get=method))
    for n, expected in ((0, {"err": "nothing"}), (3, {"ok": 3})):
        answer = call(put(n, Scalar.U64))
        assert got(answer if isinstance(answer, bytes) else await answer, FALLIBLE) == expected


def test_a_capability_error_may_be_empty_or_a_value_of_the_error_type(capability: Any) -> None:
    def fail(self: Any, n: int) -> None:
        raise CapabilityError() if n == 0 else CapabilityError({"busy": n})

    nothing = bind(capability("go: func(n: u64) -> result<_, _>", go=fail))
    assert got(nothing(put(0, Scalar.U64)), ResultOf(None, None)) == {"err": None}
    types = "variant why { busy(u64), gone }\n"
    cls = capability("go: func(n: u64) -> result<_, why>", annotations=types, go=fail)
    [function] = compile_capability("tools", cls).functions.values()
    assert got(bind(cls)(put(4, Scalar.U64)), function.declaration.result) == {"err": {"busy": 4}}


def test_a_capability_error_of_an_infallible_function_is_a_failure(capability: Any) -> None:
    def fail(self: Any) -> int:
        raise CapabilityError("no")

    with pytest.raises(CapabilityError, match="no"):
        bind(capability("go: func() -> u64", go=fail))(put([], TupleOf(())))


def test_a_value_that_the_pact_does_not_allow_is_a_failure(capability: Any) -> None:
    call = bind(capability("go: func() -> u8", go=lambda self: 256))
    with pytest.raises(TypeMismatch, match="result"):
        call(put([], TupleOf(())))


def test_a_queued_function_must_not_wait(capability: Any) -> None:
    async def post(self: Any, text: str) -> None: ...

    @blocking
    def write(self: Any, text: str) -> None: ...

    for method in (post, write):
        name = method.__name__
        refused(
            capability(
                f"{name}: func(text: string)", annotations=f'@queued: list<string> = ["{name}"]', **{name: method}
            ),
            rf"in: {HERE}:\d+: Tool\.{name}",
            "names it in @queued, and it waits",
            "make it a plain function that calls queue_call",
        )
