import pytest
import torch

from efcompile.kernels.stencil import Axis, choose_pixels, pack_taps, pixel_runs

AXES = [
    Axis(7, 3, 1, 1),
    Axis(56, 3, 1, 1),
    Axis(57, 5, 2, 2),
    Axis(3, 7, 1, 3),
    Axis(30, 3, 1, 4, 4),
    Axis(4, 3, 1, 6),
    Axis(9, 2, 3, 0),
]


@pytest.mark.parametrize("axis", AXES)
def test_an_axis_is_torchs(axis: Axis) -> None:
    """A convolution by ones over ones counts the taps inside."""
    ones = torch.ones(1, 1, axis.size)
    kernel = torch.ones(1, 1, axis.kernel)
    counted = torch.conv1d(ones, kernel, None, axis.stride, axis.padding, axis.dilation)[0, 0]
    assert [len(axis.taps(x)) for x in range(axis.out)] == counted.int().tolist()


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("pixels", [1, 3, 8, 100])
def test_runs_cover_a_row_once_and_their_tiles_share_code(axis: Axis, pixels: int) -> None:
    covered: list[int] = []
    for run in pixel_runs(axis, pixels):
        for index in range(run.times):
            first = run.first + index * run.count
            covered += range(first, first + run.count)
            for x in range(run.count):
                assert axis.taps(first + x) == axis.taps(run.first + x)
    assert covered == list(range(axis.out))


def test_the_tiles_inside_a_row_are_one_loop() -> None:
    assert [run.times for run in pixel_runs(Axis(56, 3, 1, 1), 8)] == [1, 5, 1]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("registers", [16, 32])
def test_a_tile_leaves_registers_for_weights_and_input(axis: Axis, registers: int) -> None:
    assert 1 <= choose_pixels(axis, registers) <= registers - axis.kernel - 2


def test_taps_are_packed_channels_last() -> None:
    weight = torch.randn(6, 3, 5, 1)
    packed = pack_taps(weight.numpy())
    assert packed.shape == (3, 5, 6)
    assert packed[2, 4, 1] == weight[1, 2, 4, 0]
