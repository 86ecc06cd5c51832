from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.mlp import KERNEL
from efcompile.kernels.mlp_shape import Shape
from efcompile.kernels.mlp_strassen import block_rows, blocks
from tests.kernels.harness import HOST, TARGETS, check, op_call, run_built
from tests.kernels.test_mlp import CONSTANTS


def large(images: int, rows: int, act: str = "gelu") -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "x": torch.randn(images, rows, 320),
        "weight1": torch.randn(1030, 320) / 18,
        "bias1": torch.randn(1030),
        "weight2": torch.randn(322, 1030) / 32,
        "bias2": torch.randn(322),
        "residual": torch.randn(images, rows, 322),
        "act": act,
    }


@pytest.mark.parametrize(("images", "rows"), [(2, 48), (1, 144), (3, 96)])
def test_large_products_are_cut_into_quarters(images: int, rows: int) -> None:
    args = large(images, rows)
    for target in TARGETS:
        alone = replace(target, cores=1, l1_bytes=48 << 10, l2_bytes=1 << 20)
        shape = KERNEL.shape_of(op_call("mlp", constants=CONSTANTS, **args))
        assert isinstance(shape, Shape)
        knobs = KERNEL.default_knobs(shape, alone)
        assert knobs.strassen == (target.arch == "x86_64")
        assert rows % knobs.rows == 0
        check(KERNEL, constants=CONSTANTS, targets=[alone], **args)


def test_images_stay_apart() -> None:
    args = large(2, 49)
    args["x"][1, 5] = torch.nan
    call = op_call("mlp", constants=CONSTANTS, **args)
    out = run_built(KERNEL, call, args, replace(HOST, cores=1))
    assert np.isfinite(out[0]).all() and np.isnan(out[1, 5]).all()


def test_blocks_divide_an_image_and_stay_in_the_cache() -> None:
    shape = Shape(2, 392, 224, 224, 896, True, True, True, "gelu")
    assert blocks(shape) == (49, 98, 196)
    host = replace(HOST, l2_bytes=1 << 20, cores=2)
    assert block_rows(shape, host) == 98
    assert block_rows(shape, replace(host, l2_bytes=1 << 22)) == 196
    assert block_rows(shape, replace(host, cores=16)) is None
    assert blocks(replace(shape, h=897)) == ()
