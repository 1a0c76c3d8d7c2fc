"""A process that runs a host looks for circles of garbage rarely, and leaves what it found set as it found it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from theater_bus.cli.commands import serve
from theater_bus.host.collecting import EVERY_OBJECTS, collecting_rarely


@pytest.fixture(autouse=True)
def threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_circles_are_looked_for_rarely_and_then_as_before() -> None:
    gc.set_threshold(700, 9, 8)
    with collecting_rarely():
        assert gc.get_threshold() == (EVERY_OBJECTS, 9, 8)
        assert gc.isenabled()
    assert gc.get_threshold() == (700, 9, 8)


@pytest.mark.parametrize("own", [0, EVERY_OBJECTS * 5])
def test_who_looks_even_more_rarely_goes_on_so(own: int) -> None:
    gc.set_threshold(own, 10, 10)
    with collecting_rarely():
        assert gc.get_threshold() == (own, 10, 10)
    assert gc.get_threshold() == (own, 10, 10)


def test_the_circle_of_a_burst_is_found_all_the_same() -> None:
    class Circle:
        alive = 0

        def __init__(self) -> None:
            Circle.alive += 1
            self.own = self

        def __del__(self) -> None:
            Circle.alive -= 1

    with collecting_rarely():
        for _ in range(3 * EVERY_OBJECTS):
            Circle()
        assert Circle.alive < 2 * EVERY_OBJECTS
    gc.collect()


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_serve_is_such_a_process(monkeypatch: pytest.MonkeyPatch, has_uvloop: bool) -> None:
    seen: list[int] = []

    async def main() -> None:
        seen.append(gc.get_threshold()[0])

    if not has_uvloop:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    serve._run(main())
    assert seen == [EVERY_OBJECTS]
    assert gc.get_threshold()[0] < EVERY_OBJECTS
