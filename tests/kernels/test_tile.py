import ctypes

import numpy as np
import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.register_tile import choose_tile, pack_panels
from efcompile.kernels.segment import Segment
from efcompile.kernels.span import Span
from efcompile.kernels.tile import gemm, store_epilogue
from efcompile.targets.target import Target
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, _function, assert_close


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: str(t.lanes))
@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_two_segments_one_of_nested_runs(packed: bool, staged: bool, target: Target) -> None:
    """A[m, k] is five elements of one matrix, then two runs of three, 16 apart, of another."""
    m, n, k = 13, 37, 11
    rng = np.random.default_rng(0)
    left, right, weight, bias, residual = (
        rng.standard_normal(size).astype(np.float32)
        for size in ((m, 5), (m, 32), (n, k), (n,), (m, n))
    )
    tile = choose_tile(m, n, target)
    e = Emitter()
    a, b, w, shift, rest, out, stage = (e.pointer(name) for name in "abwsrot")
    gemm(
        e,
        tile,
        n,
        m,
        Span.whole(m, tile.rows),
        Span.whole(n, tile.panel),
        [Segment(a, 5, 5), Segment(b, 32, 3, ((2, 16),))],
        w,
        shift,
        store_epilogue(out, n, "relu", rest),
        stage if staged else None,
        None if packed else n,
    )
    function = _function(build_object([e.finish("kernel_under_test")], target))
    weights = pack_panels(weight, tile.panel) if packed else np.ascontiguousarray(weight.T)
    got = np.full((m, n), np.nan, np.float32)
    scratch = np.empty(tile.rows * tile.panel, np.float32)
    arrays = (left, right, weights, bias, residual, got, scratch)
    function(*(ctypes.c_void_p(array.ctypes.data) for array in arrays))
    joined = np.concatenate([left, right[:, :3], right[:, 16:19]], axis=1)
    assert_close(got, np.maximum(joined @ weight.T + bias, 0) + residual)
