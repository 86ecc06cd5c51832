"""A fixed trial: one small matrix product, made anew from the kernel that models use."""

from pathlib import Path

import numpy as np

from efcompile import tvm_api
from efcompile.bundle.trial import Part, Step, Trial
from efcompile.kernels import gemm
from efcompile.kernels.kernel import OpCall, Operand
from efcompile.targets.target import Target

SHAPE = (128, 96, 192)
"""Rows, and features in and out: a tenth of a millisecond on a phone, all in its L2 cache."""
SYMBOL = "efcompile_probe_gemm"


def make_trial(target: Target, folder: Path) -> Trial:
    """The trial for `target`, its object in `folder`; inputs are seeded, and the expected result
    is computed in float64."""
    rows, k, n = SHAPE
    source = np.random.default_rng(0)
    x, weight, bias = (
        source.standard_normal(dims).astype(np.float32) for dims in ((rows, k), (n, k), (n,))
    )
    expected = (x.astype(np.float64) @ weight.T.astype(np.float64) + bias).astype(np.float32)
    args = {
        "x": Operand((rows, k)),
        "weight": Operand((n, k), value=weight),
        "bias": Operand((n,), value=bias),
        "residual": None,
        "act": "none",
    }
    call = OpCall("linear", args, Operand((rows, n)))
    shape = gemm.shape_of(call)
    assert not isinstance(shape, str), shape
    knobs = gemm.default_knobs(shape, target)
    built = gemm.build(SYMBOL, shape, target, knobs)
    code = folder / f"{SYMBOL}.o"
    code.write_bytes(tvm_api.build_object([built.func.with_attr("global_symbol", SYMBOL)], target))
    packed = gemm.pack(call, shape, knobs)
    parts = [
        Part("input", x.nbytes, x) if isinstance(item, str) else Part("constant", item.nbytes, item)
        for item in packed
    ]
    parts.append(Part("output", expected.nbytes, expected))
    step = Step(
        SYMBOL, code, tuple(range(len(parts))), built.tasks, built.scratch_bytes, built.chained
    )
    return Trial("gemm", (step,), tuple(parts))
