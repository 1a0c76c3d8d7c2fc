"""Every error of the tree ends the process with a number that is chosen for it and documented."""

from __future__ import annotations

import pytest

from theater_bus import errors
from theater_bus.cli.exit_code import MEANING, ExitCode, exit_code_of

CLASSES = [
    cls
    for name in errors.__all__
    if isinstance(cls := getattr(errors, name), type)
    and issubclass(cls, errors.TheaterError)
    and cls not in (errors.TheaterError, errors.LocalError, errors.ActorError)
]
BUGS = {errors.UnexpectedError, errors.IllegalTransition}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_class_has_an_exit_code_and_only_bugs_are_bugs(cls: type[errors.TheaterError]) -> None:
    code = exit_code_of(cls)
    assert code is not ExitCode.OK
    assert (code is ExitCode.BUG) == (cls in BUGS)


def test_every_exit_code_is_documented() -> None:
    assert set(MEANING) == set(ExitCode)


def test_what_is_no_error_of_ours_is_a_bug() -> None:
    assert exit_code_of(ZeroDivisionError) is ExitCode.BUG
