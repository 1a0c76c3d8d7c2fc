"""From a guest's pact to its metadata."""

from __future__ import annotations

import pytest

from theater_bus.core.values.metadata import parse_metadata
from theater_bus.core.values.package import linked_imports, package_metadata
from theater_bus.core.values.pact import parse
from theater_bus.core.values.types import Interface
from theater_bus.errors import PactSyntaxError

RUNTIME = parse(
    """
    @package: string = "theater:simple"
    interface runtime { exports { log: func(msg: string) self: func() -> string } }
    """
).interfaces[0]
PROVIDED = {RUNTIME.name: RUNTIME}


def linked(imports: str) -> tuple[Interface, ...]:
    return linked_imports(parse(f"imports {{\n{imports}\n}}", "guest.pact"), PROVIDED)


def refused(imports: str) -> str:
    with pytest.raises(PactSyntaxError) as caught:
        linked(imports)
    return str(caught.value)


def test_imports_take_their_signatures_from_whoever_provides_them() -> None:
    assert linked("theater:simple/runtime") == (RUNTIME,)
    assert linked("theater:simple/runtime.self") == (Interface(RUNTIME.name, RUNTIME.functions[1:]),)
    assert linked("theater:simple/runtime.log theater:simple/runtime") == (RUNTIME,)


def test_imports_that_are_spelled_out_need_no_provider() -> None:
    (found,) = linked("my:own/thing { f: func(a: u8) -> u8 }")
    assert (found.name, found.functions[0].name) == ("my:own/thing", "f")
    assert linked("theater:simple/runtime { }") == (Interface(RUNTIME.name, ()),)


def test_imports_that_cannot_be_completed_are_refused_with_their_line() -> None:
    assert refused("theater:simple/runtime.lag") == (
        "guest.pact:2:1: `theater:simple/runtime` has no function `lag`. Did you mean `log`?"
    )
    assert "no installed plugin provides `theater:simple/runtim`. Did you mean `theater:simple/runtime`?" in refused(
        "theater:simple/runtim"
    )
    assert "Fix: install the plugin that does, or spell" in refused("my:own/thing")
    twice = "theater:simple/runtime.log\ntheater:simple/runtime { log: func(msg: u8) }"
    assert "guest.pact:3:1: `theater:simple/runtime.log` is imported twice" in refused(twice)


def test_the_metadata_of_a_guest_says_what_its_pact_says() -> None:
    pact = parse(
        """
        imports { theater:simple/runtime.log }
        exports {
            theater:simple/actor.init: func(state: value) -> result<tuple<u64>, string>
            echo: func(v: value) -> value
        }
        """
    )
    found = parse_metadata(package_metadata(pact, PROVIDED))
    assert found.imports == (Interface(RUNTIME.name, RUNTIME.functions[:1]),)
    assert found.exports == pact.exports
    assert found.problems == ()
