import ctypes

import numpy as np
import pytest

from efcompile.kernels.emit import Emitter, float32
from efcompile.kernels.runs import GROUP, copy_run, copy_span, fill_run
from efcompile.kernels.span import share
from efcompile.tvm_api import build_object
from tests.kernels.harness import HOST, _function

LANES = 4
SPARE = 7.0


@pytest.mark.parametrize("count", [1, 15, GROUP * LANES, 3 * GROUP * LANES + 5])
def test_copies_and_fills_exactly_the_run(count: int) -> None:
    e = Emitter()
    x, copied, filled = e.pointer("x"), e.pointer("copied"), e.pointer("filled")
    copy_run(e, copied, x, count, LANES)
    fill_run(e, filled, float32(2.5), count, LANES)
    function = _function(build_object([e.finish("kernel_under_test")], HOST))
    given = np.random.default_rng(0).normal(size=count).astype(np.float32)
    outs = [np.full(count + 32, SPARE, np.float32) for _ in range(2)]
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (given, *outs)))
    assert (outs[0][:count] == given).all() and (outs[1][:count] == 2.5).all()
    assert all((out[count:] == SPARE).all() for out in outs)


def test_a_shared_run_is_copied_part_by_part() -> None:
    count, parts, size = 3 * GROUP * LANES + 5, 2, 2
    e = Emitter()
    x, out, part = e.pointer("x"), e.pointer("out"), e.integer("part")
    copy_span(e, out, x, count, share(e, part, parts, size, count // (GROUP * LANES)), LANES)
    function = _function(build_object([e.finish("kernel_under_test")], HOST))
    given = np.arange(1, count + 1, dtype=np.float32)
    got = np.zeros(count, np.float32)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (given, got)]
    border = size * GROUP * LANES
    function(*pointers, ctypes.c_int32(0))
    assert (got[:border] == given[:border]).all() and (got[border:] == 0).all()
    function(*pointers, ctypes.c_int32(1))
    assert (got == given).all()
