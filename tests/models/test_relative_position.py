import pytest

from efcompile.models.relative_position import relative_position_index


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (3, 1), (5, 1), (4, 2), (6, 2)])
def test_every_pair_reads_the_entry_of_its_offset(side: int, stride: int) -> None:
    index = relative_position_index(side, stride)
    queries = [(y, x) for y in range(0, side, stride) for x in range(0, side, stride)]
    keys = [(y, x) for y in range(side) for x in range(side)]
    expected = [[abs(qy - ky) * side + abs(qx - kx) for ky, kx in keys] for qy, qx in queries]
    assert index.tolist() == expected
