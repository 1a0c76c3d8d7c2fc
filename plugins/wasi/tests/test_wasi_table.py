"""The table of a guest's resources, where numbers are given again."""

from __future__ import annotations

import pytest

from theater_bus.errors import HandlerError
from theater_bus_wasi.table import Table


class Thing:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_guest_that_lets_go_late_takes_nothing_new_away() -> None:
    table, old, new = Table(), Thing(), Thing()
    table.put_at(7, old)
    table.put_at(7, new)
    assert old.closed
    table.drop(7)
    assert table.get(7, Thing) is new
    table.drop(7)
    assert new.closed
    with pytest.raises(HandlerError, match="resource 7 is gone"):
        table.get(7, Thing)


def test_what_was_let_go_in_time_owes_nothing() -> None:
    table, new = Table(), Thing()
    table.put_at(7, Thing())
    table.drop(7)
    table.put_at(7, new)
    table.drop(7)
    assert new.closed


def test_a_fresh_guest_owes_nothing() -> None:
    table, new = Table(), Thing()
    table.put_at(7, Thing())
    table.put_at(7, Thing())
    table.clear()
    table.put_at(7, new)
    table.drop(7)
    assert new.closed
