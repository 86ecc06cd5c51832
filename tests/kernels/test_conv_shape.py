from typing import Any

import pytest
import torch

from efcompile.kernels.conv_shape import ConvShape, conv_shape
from tests.kernels.harness import op_call


def conv_args(**options: Any) -> dict[str, Any]:
    return {
        "x": torch.randn(2, 11, 14, 6),
        "weight": torch.randn(8, 3, 5, 3),
        "bias": torch.randn(8),
        "residual": None,
        "stride": [2, 1],
        "padding": [1, 0],
        "dilation": [1, 2],
        "groups": 2,
    } | options


def test_geometry_is_torchs() -> None:
    call = op_call("conv2d", ("weight", "bias"), **conv_args())
    shape = conv_shape(call)
    assert isinstance(shape, ConvShape)
    result = (shape.batch, shape.out_height, shape.out_width, shape.filters)
    assert result == call.out.shape
    assert not shape.depthwise


def test_channels_first_input() -> None:
    args = conv_args(x=torch.randn(2, 6, 11, 14), nchw_input=True)
    shape = conv_shape(op_call("conv2d", ("weight", "bias"), **args))
    assert isinstance(shape, ConvShape)
    assert (shape.height, shape.width, shape.channels, shape.nchw) == (11, 14, 6, True)


def test_one_filter_per_channel_is_depthwise() -> None:
    args = conv_args(weight=torch.randn(6, 3, 5, 1), bias=None, groups=6)
    shape = conv_shape(op_call("conv2d", ("weight",), **args))
    assert isinstance(shape, ConvShape) and shape.depthwise


@pytest.mark.parametrize(
    ("constants", "change", "word"),
    [
        ((), {}, "weight"),
        (("weight",), {}, "bias"),
        (("weight", "bias"), {"residual": torch.randn(8)}, "broadcast"),
    ],
)
def test_refuses(constants: tuple[str, ...], change: dict[str, Any], word: str) -> None:
    reason = conv_shape(op_call("conv2d", constants, **(conv_args() | change)))
    assert isinstance(reason, str) and word in reason


def test_refuses_an_activation_it_has_no_code_for() -> None:
    call = op_call("conv2d", ("weight", "bias"), **conv_args())
    call.args["act"] = "no_such_activation"
    reason = conv_shape(call)
    assert isinstance(reason, str) and "no_such_activation" in reason
