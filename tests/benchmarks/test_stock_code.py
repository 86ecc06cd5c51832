import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.stock_code import assemble, expand
from efcompile.bundle.memory import zeroed
from efcompile.targets.resolve import resolve
from efcompile.tvm_api import s_tir, te
from tests.kernels.harness import run_code

SYMBOL = "kernel_under_test"
ROWS, COLUMNS = 37, 40


def _aligned(value: float) -> Any:
    """A matrix where TVM's code takes every tensor to be: at a multiple of 64 bytes."""
    memory = zeroed(4 * ROWS * COLUMNS).view(np.float32).reshape(ROWS, COLUMNS)
    assert memory.ctypes.data % 64 == 0
    memory[:] = value
    return memory


def _module(*, parallel: bool = False) -> Any:
    """``(2 x + 1) + x[::-1]`` of rows, through a buffer that TVM wants workspace for."""
    x = te.placeholder((ROWS, COLUMNS), name="x")
    twice = te.compute(x.shape, lambda i, j: x[i, j] * 2.0 + 1.0, name="twice")
    y = te.compute(x.shape, lambda i, j: twice[i, j] + x[ROWS - 1 - i, j], name="y")
    sch = s_tir.Schedule(te.create_prim_func([x, y], index_dtype_override="int64"))
    if parallel:
        for name in ("twice", "y"):
            sch.parallel(sch.get_loops(sch.get_sblock(name))[0])
    return sch.mod


def _object(module: Any) -> bytes:
    built = expand(module)
    assert (built.tasks, built.scratch_bytes) == (1, 0)
    return assemble([built.func.with_attr("global_symbol", SYMBOL)], resolve("host"))


@pytest.mark.parametrize("parallel", [False, True])
def test_it_computes_under_our_signature(parallel: bool) -> None:
    x, out = _aligned(0), _aligned(np.nan)
    x[:] = np.random.default_rng(0).standard_normal(x.shape)
    run_code(_object(_module(parallel=parallel)), [x], out, 0, 1)
    np.testing.assert_allclose(out, 2 * x + 1 + x[::-1], rtol=1e-6)


def test_an_empty_range_of_tasks_does_nothing() -> None:
    x, out = _aligned(1), _aligned(1)
    run_code(_object(_module()), [x], out, 0, 0)
    assert (out == 1).all()


def test_only_the_kernel_is_visible_and_nothing_of_tvm_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "kernel.o"
    path.write_bytes(_object(_module(parallel=True)))
    listed = subprocess.run(
        ["nm", "-g", path], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    names = {line.split()[-1]: line.split()[-2] for line in listed if line}
    assert {name for name, kind in names.items() if kind != "U"} == {SYMBOL}
    assert not [name for name in names if "TVM" in name]


def test_a_compiler_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.stock_code._ENTRY", Path("missing.c"))
    with pytest.raises(subprocess.CalledProcessError):
        _object(_module())
