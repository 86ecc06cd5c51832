import re

import pytest

from efcompile.kernels.ahead import LINE, ask, ask_share
from efcompile.kernels.emit import Emitter


def _source(floats: int) -> str:
    e = Emitter()
    ask(e, e.pointer("weights"), 0, floats)
    return str(e.finish("asks"))


@pytest.mark.parametrize(("floats", "lines"), [(1, 1), (LINE, 1), (LINE + 1, 2), (4 * LINE, 4)])
def test_a_few_lines_are_asked_for_one_by_one(floats: int, lines: int) -> None:
    assert _source(floats).count("prefetch") == lines


def test_many_lines_are_a_loop_over_all_of_them() -> None:
    source = _source(10 * LINE + 1)
    assert source.count("prefetch") == 1
    assert re.search(r"range\(11\)", source)


def test_nothing_is_asked_of_an_operand_that_is_missing() -> None:
    e = Emitter()
    e.pointer("weights")
    ask(e, None, 0, LINE)
    assert "prefetch" not in str(e.finish("asks"))


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_the_parts_of_a_panel_are_all_of_its_weights(parts: int) -> None:
    e = Emitter()
    ask_share(e, e.pointer("weights"), 0, 24, 48, e.integer("part"), parts)
    found = re.search(r"range\((\d+)\)", str(e.finish("asks")))
    assert found is not None
    lines = int(found[1])
    assert (lines - 1) * parts * LINE < 24 * 48 <= lines * parts * LINE
