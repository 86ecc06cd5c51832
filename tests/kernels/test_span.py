import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.span import Span, share


@pytest.mark.parametrize(("size", "count", "tail"), [(12, 3, False), (13, 3, True), (3, 0, True)])
def test_a_whole_dimension_is_its_tiles_and_what_is_left(size: int, count: int, tail: bool) -> None:
    assert Span.whole(size, 4) == Span(0, count, tail)


def test_a_single_part_is_known_when_the_code_is_made() -> None:
    e = Emitter()
    assert share(e, e.integer("part"), 1, 3, 7) == Span(0, 7, True)
