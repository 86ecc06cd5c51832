from typing import Any

import pytest
import torch

from efcompile.kernels.mlp_shape import shape_of
from tests.kernels.harness import op_call
from tests.kernels.test_mlp import CONSTANTS, mlp_args


def test_rows_are_counted_by_image() -> None:
    shape = shape_of(op_call("mlp", constants=CONSTANTS, **mlp_args(tokens=23)))
    assert not isinstance(shape, str)
    assert (shape.images, shape.m, shape.k, shape.h, shape.n) == (2, 46, 20, 53, 27)


@pytest.mark.parametrize(
    ("constants", "change", "word"),
    [
        (("weight1",), {}, "weight2"),
        (CONSTANTS, {"residual": torch.randn(27)}, "broadcast"),
    ],
)
def test_refuses(constants: tuple[str, ...], change: dict[str, Any], word: str) -> None:
    reason = shape_of(op_call("mlp", constants=constants, **(mlp_args() | change)))
    assert isinstance(reason, str) and word in reason
