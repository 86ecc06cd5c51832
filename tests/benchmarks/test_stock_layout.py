from typing import Any

import numpy as np

from benchmarks.stock_layout import rewritten
from efcompile.tvm_api import s_tir, te, tvm

MARK = "meta_schedule.layout_rewrite_preproc"


def _scheduled(index_map: Any) -> Any:
    """A matrix-vector product that reads its weights [6, 8] in another layout."""
    x = te.placeholder((8,), name="x")
    weight = te.placeholder((6, 8), name="weight")
    k = te.reduce_axis((0, 8), name="k")
    y = te.compute((6,), lambda i: te.sum(x[k] * weight[i, k], k), name="y")
    function = te.create_prim_func([x, weight, y], index_dtype_override="int64")
    sch = s_tir.Schedule(tvm.IRModule({"main": function}))
    copy = sch.cache_read(sch.get_sblock("y"), 1, "global")
    sch.transform_layout(copy, ("write", 0), index_map, assume_injective_transform=True)
    sch.annotate(copy, MARK, True)
    return sch.mod


def test_a_rewritten_constant_is_laid_out_as_the_code_reads_it() -> None:
    weight = np.arange(48, dtype=np.float32).reshape(6, 8)
    module = _scheduled(lambda i, j: (i // 3, j, i % 3))
    wanted = weight.reshape(2, 3, 8).transpose(0, 2, 1)
    np.testing.assert_array_equal(rewritten(module, 1, weight), wanted)


def test_the_operands_own_shape_does_not_matter() -> None:
    weight = np.arange(48, dtype=np.float32)
    module = _scheduled(lambda i, j: (j, i))
    wanted = weight.reshape(6, 8).T
    np.testing.assert_array_equal(rewritten(module, 1, weight.reshape(6, 2, 4)), wanted)


def test_padding_is_zero() -> None:
    weight = np.ones((6, 8), np.float32)
    got = rewritten(_scheduled(lambda i, j: (i // 4, j, i % 4)), 1, weight)
    assert got.shape == (2, 8, 4)
    assert got.sum() == 48
    assert not got[1, :, 2:].any()


def test_what_no_block_lays_out_stays() -> None:
    x = np.ones(8, np.float32)
    assert rewritten(_scheduled(lambda i, j: (j, i)), 0, x) is x
