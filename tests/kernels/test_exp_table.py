import numpy as np
import pytest

from efcompile.kernels.emit import Emitter
from efcompile.kernels.exp_table import EXP_LANES, table_exp
from efcompile.kernels.kernel import Array
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, run_code

WIDE = [target for target in TARGETS if target.lanes == EXP_LANES]
pytestmark = pytest.mark.skipif(not WIDE, reason="this machine has no AVX-512")


def exp(x: Array) -> Array:
    """`table_exp` of a multiple of 16 values."""
    e = Emitter()
    source, out, _scratch = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    with e.loop(end - begin, "vector", begin) as vector:
        value = e.let(e.load(source, vector * EXP_LANES, EXP_LANES))
        e.store(out, vector * EXP_LANES, table_exp(e, value, EXP_LANES), EXP_LANES)
    result = np.full_like(x, np.nan)
    code = build_object([e.finish("kernel_under_test")], WIDE[0])
    run_code(code, [x], result, 0, len(x) // EXP_LANES, WIDE[0])
    return result


def test_bound_at_both_sides_of_every_border_between_pieces() -> None:
    borders = (-np.arange(0.5, 126 * 32) / 32 * np.log(2)).astype(np.float32)
    x = np.concatenate([borders, np.nextafter(borders, 0), np.nextafter(borders, -99), borders])
    x = x[: len(x) // EXP_LANES * EXP_LANES].astype(np.float32)
    error = np.abs(exp(x) / np.exp(x.astype(np.float64)) - 1)
    assert (error <= 3e-7 + 2e-8 * np.abs(x)).all()


def test_limits() -> None:
    x = np.zeros(EXP_LANES, np.float32)
    x[:6] = [0, -np.inf, np.nan, -1e30, -120, -95]
    got = exp(x)
    assert np.isnan(got[2]) and (got[[0, *range(6, EXP_LANES)]] == 1).all()
    assert (got[[1, 3, 4]] == 0).all() and abs(got[5] - np.exp(-95.0)) < 2e-45
