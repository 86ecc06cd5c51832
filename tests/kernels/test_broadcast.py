from efcompile.kernels.broadcast import Axis, merged_axes


def test_axes_are_merged() -> None:
    assert merged_axes((2, 7, 37), (2, 7, 37), (2, 7, 37)) == (Axis(518, 1, 1),)
    assert merged_axes((2, 3, 5, 4), (2, 3, 5, 4), (2, 1, 1, 4)) == (
        Axis(2, 60, 4),
        Axis(15, 4, 0),
        Axis(4, 1, 1),
    )
    assert merged_axes((1, 1), (1, 1), ()) == (Axis(1, 0, 0),)
    assert merged_axes((), (), ()) == (Axis(1, 0, 0),)
