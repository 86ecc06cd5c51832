"""Exceptions on their way through MetaSchedule."""

from typing import Any

import pytest

from efcompile import tvm_api
from efcompile.tuning.guard import Guard


class _Runner:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def run(self, inputs: Any) -> list[Any]:
        if self.error is not None:
            raise self.error
        return []


@pytest.mark.parametrize("error", [KeyError("planted"), KeyboardInterrupt("planted")])
def test_the_exception_is_kept_as_it_was(error: BaseException) -> None:
    guard = Guard()
    with pytest.raises(RuntimeError, match="planted"):
        guard.part("runner.PyRunner", _Runner(error)).run([])
    assert guard.error is error


def test_metaschedule_loses_its_type_without_a_guard() -> None:
    part = tvm_api.meta_schedule_part("runner.PyRunner", _Runner(LookupError("planted")))
    with pytest.raises(RuntimeError, match="planted"):
        part.run([])


def test_after_a_first_exception_nothing_is_called_any_more() -> None:
    guard = Guard()
    fine = guard.part("runner.PyRunner", _Runner(None))
    assert list(fine.run([])) == []
    with pytest.raises(RuntimeError):
        guard.part("runner.PyRunner", _Runner(ValueError("first"))).run([])
    with pytest.raises(RuntimeError, match="failed before"):
        fine.run([])
    assert isinstance(guard.error, ValueError)


def test_of_nested_exceptions_the_innermost_is_kept() -> None:
    guard = Guard()

    def inner() -> None:
        raise ValueError("inner")

    def outer() -> None:
        guard.wrap(inner)()

    with pytest.raises(RuntimeError, match="inner"):
        guard.wrap(outer)()
    assert isinstance(guard.error, ValueError)
