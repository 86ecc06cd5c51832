import time

import pytest

from efcompile.steps import step, timed


def test_a_step_inside_another_counts_for_itself_alone() -> None:
    with timed() as seconds:
        with step("outer"):
            with step("inner"):
                time.sleep(0.05)
            time.sleep(0.01)
        with step("inner"):
            time.sleep(0.05)
    assert set(seconds) == {"outer", "inner"}
    assert seconds["inner"] >= 0.1
    assert 0.01 <= seconds["outer"] < 0.1


def test_a_step_that_fails_is_counted_and_closed() -> None:
    with timed() as seconds:
        with pytest.raises(ValueError, match="broken"), step("first"):
            raise ValueError("broken")
        with step("second"):
            pass
    assert set(seconds) == {"first", "second"}


def test_nothing_is_collected_outside_and_blocks_do_not_mix() -> None:
    with step("unseen"):
        pass
    with timed() as outer, step("mine"), timed() as inner, step("other"):
        pass
    assert set(outer) == {"mine"} and set(inner) == {"other"}
