from typing import Any

import numpy as np
import pytest
import torch

from efcompile.kernels.resize import KERNEL, tables
from tests.kernels.harness import assert_close, check, op_call, reference, run_built, run_plain


def arguments(mode: str, **more: Any) -> dict[str, Any]:
    return {"mode": mode, "align_corners": False, "scales": [], "act": "none", **more}


@pytest.mark.parametrize(
    "args",
    [
        arguments("nearest", size=[14, 15]),
        arguments("nearest", size=[17, 11], scales=[2.5, 1.6], act="relu"),
        arguments("bilinear", size=[14, 14], act="gelu"),
        arguments("bilinear", size=[9, 14], scales=[1.3, 2.0]),
        arguments("bilinear", size=[3, 20], align_corners=True),
        arguments("bilinear", size=[17, 11], scales=[2.5, 1.6]),
        arguments("bilinear", size=[7, 1], align_corners=True),
    ],
)
def test_matches_reference(args: dict[str, Any]) -> None:
    x = torch.randn(2, 7, 7, 37)
    check(KERNEL, x=x, **args)
    call = op_call("resize", x=x, **args)
    operands = [x, *map(torch.from_numpy, tables(call))]
    assert_close(run_plain(KERNEL, call, operands), reference("resize", x=x, **args).numpy())


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_tables_follow_torch_at_every_size(mode: str) -> None:
    """The plain algorithm in numpy over many sizes and factors, without compiling any."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        size_in, factor = int(rng.integers(1, 40)), float(rng.uniform(0.3, 4))
        size = max(1, int(size_in * factor))
        corners = bool(rng.integers(2)) and mode == "bilinear"
        scales = [factor, 1.0] if rng.integers(2) and not corners else []
        x = torch.randn(1, size_in, 1, 1)
        args = arguments(mode, size=[size, 1], scales=scales, align_corners=corners)
        rows, weight, *_ = tables(op_call("resize", x=x, **args))
        line = x.flatten().numpy()
        got = line[rows[0]] * (1 - weight) + line[rows[1]] * weight
        assert_close(got, reference("resize", x=x, **args).numpy().ravel())


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [[5, 5], [3, 3], [6, 4], [6, 6]])
def test_nan_and_infinity_go_through(size: list[int], corners: bool) -> None:
    x = torch.randn(1, 3, 3, 4)
    x[0, 1, 1, 0] = x[0, 2, 2, 1] = float("inf")
    x[0, 0, 2, 2] = float("nan")
    args = {"x": x, **arguments("bilinear", size=size, align_corners=corners)}
    got = run_built(KERNEL, op_call("resize", (), **args), args)
    np.testing.assert_allclose(got, reference("resize", **args).numpy(), rtol=1e-5, atol=1e-6)


def test_refusals() -> None:
    def reason(x: torch.Tensor, **changes: Any) -> str:
        call = op_call("resize", x=x, **arguments("nearest", size=[4, 4]))
        call.args.update(changes)
        shape = KERNEL.shape_of(call)
        assert isinstance(shape, str)
        return shape

    assert "float64" in reason(torch.zeros(1, 2, 2, 3, dtype=torch.float64))
    assert "activation erf" in reason(torch.zeros(1, 2, 2, 3), act="erf")
    assert "mode bicubic" in reason(torch.zeros(1, 2, 2, 3), mode="bicubic")
