import subprocess
from pathlib import Path
from typing import Any

import pytest

from efcompile.errors import UnsupportedOpError
from efcompile.lowering.nests import cut
from efcompile.tvm_api import build_object, te, tirx, tvm
from tests.lowering.leftover_runner import HOST


def summed_rows() -> Any:
    """``exp(x) -> sum over the last dimension -> log`` of x [6, 40, 16]."""
    x = te.placeholder((6, 40, 16), name="x")
    power = te.compute((6, 40, 16), lambda i, j, k: tirx.exp(x[i, j, k]), name="power")
    k = te.reduce_axis((0, 16), name="k")
    total = te.compute((6, 40), lambda i, j: te.sum(power[i, j, k], axis=k), name="total")
    shifted = te.compute((6, 40), lambda i, j: total[i, j] + 1.0, name="shifted")
    out = te.compute((6, 40), lambda i, j: tirx.log(shifted[i, j]), name="out")
    return te.create_prim_func([x, out], index_dtype_override="int64")


def test_every_nest_is_a_kernel_and_cheap_blocks_join_the_next() -> None:
    pieces = cut(summed_rows(), HOST)
    assert len(pieces.nests) == 3  # exp (its reader reduces), sum, add and log
    assert [str(b.dtype) for b in pieces.intermediates] == ["float32", "float32"]
    assert pieces.nests[0].buffers[0].same_as(pieces.params[0])
    assert pieces.nests[-1].buffers[-1].same_as(pieces.params[1])
    for nest in pieces.nests:
        assert nest.tasks >= HOST.cores
        assert len(nest.func.params) == len(nest.buffers) + 3


def test_kernels_use_libm_and_nothing_of_tvm(tmp_path: Path) -> None:
    nests = cut(summed_rows(), HOST).nests
    functions = [nest.func.with_attr("global_symbol", f"k{i}") for i, nest in enumerate(nests)]
    (tmp_path / "k.o").write_bytes(build_object(functions, HOST))
    needed = subprocess.run(
        ["nm", "-u", tmp_path / "k.o"], capture_output=True, text=True, check=True
    )
    assert set(needed.stdout.split()) == {"U", "expf", "logf"}


def test_loops_become_vectors_only_where_they_divide() -> None:
    def doubled(columns: int) -> Any:
        x = te.placeholder((64, columns), name="x")
        out = te.compute((64, columns), lambda i, j: x[i, j] * 2.0, name="out")
        return cut(te.create_prim_func([x, out], index_dtype_override="int64"), HOST).nests[0].func

    assert "T.vectorized" in str(doubled(40))
    assert "T.vectorized" not in str(doubled(37))


def test_a_nest_of_one_element_is_one_task() -> None:
    x = te.placeholder((1,), name="x")
    out = te.compute((1,), lambda i: x[i] + 1.0, name="out")
    (nest,) = cut(te.create_prim_func([x, out], index_dtype_override="int64"), HOST).nests
    assert nest.tasks == 1


def test_refuses_memory_inside_a_loop() -> None:
    script = """
@T.prim_func(s_tir=True)
def func(x: T.Buffer((8,), "float32"), out: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("copied"):
            row = T.axis.spatial(8, i)
            own = T.sblock_alloc_buffer((4,), "float32")
            for j in range(4):
                with T.sblock("own"):
                    column = T.axis.spatial(4, j)
                    own[column] = x[row]
            out[row] = own[0]
"""
    with pytest.raises(UnsupportedOpError, match="memory inside a loop"):
        cut(tvm.script.from_source(script), HOST)
