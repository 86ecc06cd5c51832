"""Trials of small kernels, for the tests of linking and of devices."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np

from efcompile import tvm_api
from efcompile.bundle.trials import Part, Step, Trial
from efcompile.kernels import gemm
from efcompile.kernels.kernel import OpCall, Operand
from efcompile.targets.target import Target

M, N, K = 20, 48, 32
C_HANG = "for (volatile int i = 0;; i = 1 - i) {}"
C_KERNEL = "void kernel({}void *scratch, int begin, int end)"


def gemm_trial(
    target: Target, folder: Path, *, rows: int = 1, seed: int = 0, name: str = "gemm"
) -> Trial:
    """``relu(x @ w.T + b)``, [20, 32] by [48, 32], with `rows` row tiles for each task."""
    source = np.random.default_rng(seed)
    x, w, b = (source.standard_normal(s).astype(np.float32) for s in ((M, K), (N, K), (N,)))
    weight, bias = Operand((N, K), value=w), Operand((N,), value=b)
    args = {"x": Operand((M, K)), "weight": weight, "bias": bias, "residual": None, "act": "relu"}
    call = OpCall("linear", args, Operand((M, N)))
    shape = gemm.shape_of(call)
    assert isinstance(shape, gemm.Shape)
    default = gemm.default_knobs(shape, target)
    knobs = replace(default, task_row_tiles=rows, task_panels=1)
    built = gemm.build("candidate", shape, target, knobs)
    code = tvm_api.build_object([built.func.with_attr("global_symbol", "candidate")], target)
    path = folder / f"{name}{rows}.o"
    path.write_bytes(code)
    constants = [value for value in gemm.pack(call, shape, knobs) if not isinstance(value, str)]
    wanted = np.maximum(x @ w.T + b, 0)
    parts = (
        Part("input", x.nbytes, x),
        *(Part("constant", value.nbytes, value) for value in constants),
        Part("output", wanted.nbytes, wanted),
    )
    args_of = tuple(range(len(parts)))
    step = Step("candidate", path, args_of, built.tasks, built.scratch_bytes, built.chained)
    return Trial(f"{name} {rows}", (step,), parts)


def c_trial(
    folder: Path, name: str, body: str, *parts: Part, tasks: int = 1, compiler: str = "cc"
) -> Trial:
    """A trial of one kernel in C: `body` sees its arrays as ``p0``, ``p1``..., ``begin``, ``end``.

    `parts` are what it takes; without any, one result of a zero.
    """
    taken = parts or (result(np.zeros(1, np.float32)),)
    pointers = "".join(f"float *p{i}, " for i in range(len(taken)))
    source = folder / f"{name}.c"
    unused = "(void)scratch; (void)begin; (void)end; "
    source.write_text(
        "#include <math.h>\n#include <stdint.h>\n"
        f"{C_KERNEL.format(pointers)} {{ {unused}{body} }}\n"
    )
    path = folder / f"{name}.o"
    subprocess.run([compiler, "-O1", "-w", "-fPIC", "-c", source, "-o", path], check=True)
    step = Step("kernel", path, tuple(range(len(taken))), tasks, 64, False)
    return Trial(name, (step,), taken)


def given(values: np.ndarray) -> Part:
    """An input."""
    return Part("input", values.nbytes, values)


def constant(values: np.ndarray) -> Part:
    """A constant."""
    return Part("constant", values.nbytes, values)


def result(values: np.ndarray) -> Part:
    """An output, with what is expected of it."""
    return Part("output", values.nbytes, values)
