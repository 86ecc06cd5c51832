from typing import Any

import pytest
import torch

from efcompile.kernels.conv_direct import KERNEL
from efcompile.kernels.conv_shape import ConvShape
from efcompile.kernels.conv_space import in_place
from tests.kernels.harness import check, op_call


def conv_args(
    filters: int = 24,
    kernel: tuple[int, int] = (3, 3),
    image: tuple[int, ...] = (2, 11, 13, 5),
    nchw: bool = False,
    **options: Any,
) -> dict[str, Any]:
    torch.manual_seed(0)
    channels = image[1] if nchw else image[3]
    groups = options.get("groups", 1)
    return {
        "x": torch.randn(image),
        "weight": torch.randn(filters, *kernel, channels // groups),
        "bias": torch.randn(filters),
        "residual": None,
        "stride": [1, 1],
        "padding": [1, 1],
        "dilation": [1, 1],
        "groups": 1,
        "nchw_input": nchw,
    } | options


def check_conv(args: dict[str, Any]) -> None:
    check(
        KERNEL,
        constants=("weight", "bias"),
        plain_operands=("x", "weight", "bias", "residual"),
        **args,
    )


@pytest.mark.parametrize(
    "args",
    [
        {"act": "relu"},
        {"stride": [2, 2], "filters": 40},
        {"kernel": (5, 3), "stride": [1, 2], "padding": [2, 0], "bias": None},
        {"dilation": [2, 3], "padding": [2, 3]},
        {"kernel": (1, 1), "padding": [0, 0], "stride": [2, 2], "filters": 37},
        {"kernel": (7, 7), "padding": [5, 6], "image": (1, 4, 3, 2)},
        {"image": (2, 3, 15, 14), "nchw": True, "stride": [2, 2]},
        {"image": (1, 3, 32, 48), "nchw": True, "kernel": (16, 16), "stride": [16, 16],
         "padding": [0, 0], "filters": 20},
        {"image": (1, 4, 9, 9), "nchw": True, "dilation": [1, 2]},
    ],
)  # fmt: skip
def test_matches_reference(args: dict[str, Any]) -> None:
    check_conv(conv_args(**args))


IN_PLACE: list[dict[str, Any]] = [
    {"stride": [2, 2], "image": (2, 90, 94, 5), "act": "gelu"},
    {"stride": [2, 2], "image": (2, 14, 14, 19), "act": "gelu"},
    {"stride": [2, 2], "image": (1, 6, 128, 19), "filters": 37, "bias": None},
    {"stride": [3, 3], "image": (2, 14, 131, 3), "kernel": (4, 4), "padding": [2, 2]},
    {"stride": [1, 2], "image": (1, 9, 120, 4), "kernel": (1, 3), "padding": [0, 1]},
    {"stride": [2, 2], "image": (2, 14, 14, 20), "act": "relu"},
    {"stride": [3, 3], "image": (2, 14, 131, 8), "kernel": (4, 4), "padding": [2, 2]},
    {"stride": [2, 1], "image": (1, 8, 60, 12), "kernel": (3, 1), "padding": [1, 0]},
]


@pytest.mark.parametrize("args", IN_PLACE)
def test_taps_above_and_left_of_the_image_are_left_out(args: dict[str, Any]) -> None:
    made = conv_args(**args)
    shape = KERNEL.shape_of(op_call("conv2d", ("weight", "bias"), **made))
    assert isinstance(shape, ConvShape) and in_place(shape)
    check_conv(made)


COPIED: list[dict[str, Any]] = [
    {"stride": [2, 2], "image": (1, 9, 95, 5)},
    {"stride": [2, 2], "image": (1, 10, 95, 5)},
    {"stride": [2, 2], "image": (1, 9, 96, 5)},
    {"stride": [2, 2], "image": (2, 3, 64, 58), "nchw": True, "act": "gelu"},
    {"stride": [1, 1], "image": (2, 9, 12, 8), "kernel": (2, 4), "padding": [0, 2]},
    {"stride": [2, 2], "image": (2, 8, 8, 6), "padding": [1, 1], "dilation": [2, 2]},
]


@pytest.mark.parametrize("args", COPIED)
def test_a_copy_is_needed_where_more_is_missing_or_of_the_input(args: dict[str, Any]) -> None:
    made = conv_args(**args)
    shape = KERNEL.shape_of(op_call("conv2d", ("weight", "bias"), **made))
    assert isinstance(shape, ConvShape) and not in_place(shape)
    check_conv(made)


def test_residual_follows_the_activation() -> None:
    args = conv_args(act="gelu")
    check_conv(args | {"residual": torch.randn(2, 11, 13, 24)})


def test_weights_larger_than_the_cache_are_shared_out_by_panels() -> None:
    check_conv(conv_args(filters=200, image=(1, 6, 5, 160), stride=[2, 2]))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"groups": 2, "weight": torch.randn(24, 3, 3, 3)}, "groups"),
        ({"residual": torch.randn(1, 1, 1, 24)}, "broadcast"),
    ],
)
def test_refuses(change: dict[str, Any], word: str) -> None:
    args = conv_args(image=(2, 11, 13, 6)) | change
    reason = KERNEL.shape_of(op_call("conv2d", constants=("weight", "bias"), **args))
    assert isinstance(reason, str) and word in reason
