import ctypes

import numpy as np
import pytest

from efcompile.kernels.emit import (
    Emitter,
    Expr,
    float32,
    int32,
    lane,
    magnitude,
    negative_part,
    select,
    splat,
)
from efcompile.tvm_api import build_object
from tests.kernels.harness import HOST, _function


def _run(e: Emitter, *arrays: np.ndarray) -> None:
    function = _function(build_object([e.finish("kernel_under_test")], HOST))
    function(*(ctypes.c_void_p(a.ctypes.data) for a in arrays))


def test_loops_branches_and_registers() -> None:
    e = Emitter()
    out = e.pointer("out")
    total = e.register(4, value=float32(0.0, 4))
    with e.loop(5, "i") as i, e.when(i < int32(3)):
        e.set(total, e.get(total) + splat(e.load(out, i), 4))
    with e.loop(1, "once") as once:
        assert once == 0
        e.store(out, once, e.get(total), 4)
    data = np.array([1, 2, 4, 8, 16], np.float32)
    _run(e, data)
    np.testing.assert_array_equal(data, [7, 7, 7, 7, 16])


def test_views_lanes_and_select() -> None:
    e = Emitter()
    out = e.pointer("out")
    vector = e.let(e.load(out, 0, 4))
    second: Expr = e.let(lane(vector, 1))
    e.store(out.at(4), 0, select(vector > splat(second, 4), vector, float32(-1.0, 4)), 4)
    data = np.array([3, 2, 1, 5, 0, 0, 0, 0], np.float32)
    _run(e, data)
    np.testing.assert_array_equal(data[4:], [3, -1, -1, 5])


@pytest.mark.parametrize("lanes", sorted({1, 4, 8, HOST.lanes}))
def test_negative_part_and_magnitude(lanes: int) -> None:
    values = [-np.inf, -5.5, -2.0, -0.0, 0.0, 1e-45, 2.0, np.inf]
    data = np.resize(np.array(values, np.float32), 48)
    wanted = data.copy()
    wanted[16:32], wanted[32:] = np.minimum(data[:16], 0), np.minimum(np.abs(data[:16]), 2.5)
    e = Emitter()
    out = e.pointer("out")
    for start in range(0, 16, lanes):
        x = e.let(e.load(out, start, lanes))
        e.store(out.at(16), start, negative_part(x, lanes), lanes)
        e.store(out.at(32), start, magnitude(x, 2.5, lanes), lanes)
    _run(e, data)
    np.testing.assert_array_equal(data, wanted)


def test_an_object_has_no_runtime_behind_it(tmp_path: object) -> None:
    e = Emitter()
    out = e.pointer("out")
    e.store(out, 0, float32(1.0))
    code = build_object([e.finish("alone")], HOST)
    assert b"TVMBackend" not in code and b"alone" in code


def test_let_keeps_numbers() -> None:
    assert Emitter().let(3) == 3
    with pytest.raises(AttributeError):
        Emitter().let(None)
