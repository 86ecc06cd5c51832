import numpy as np
import pytest
import torch

from efcompile.kernels.emit import Emitter
from efcompile.kernels.gelu_table import TABLE_LANES, table_gelu
from efcompile.kernels.kernel import Array
from efcompile.tvm_api import build_object
from tests.kernels.harness import TARGETS, run_code

WIDE = [target for target in TARGETS if target.lanes == TABLE_LANES]
pytestmark = pytest.mark.skipif(not WIDE, reason="this machine has no AVX-512")


def gelu(x: Array) -> Array:
    """`table_gelu` of a multiple of 16 values."""
    e = Emitter()
    source, out, _scratch = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    with e.loop(end - begin, "vector", begin) as vector:
        value = e.let(e.load(source, vector * TABLE_LANES, TABLE_LANES))
        e.store(out, vector * TABLE_LANES, table_gelu(e, value, TABLE_LANES), TABLE_LANES)
    result = np.full_like(x, np.nan)
    code = build_object([e.finish("kernel_under_test")], WIDE[0])
    run_code(code, [x], result, 0, len(x) // TABLE_LANES, WIDE[0])
    return result


def error(x: Array) -> Array:
    """The absolute error at each value."""
    exact = torch.nn.functional.gelu(torch.from_numpy(x.astype(np.float64))).numpy()
    found: Array = np.abs(gelu(x) - exact)
    return found


def test_both_sides_of_every_border_between_pieces() -> None:
    borders = np.arange(0.125, 6.0, 0.25, dtype=np.float32)
    near = np.concatenate([borders, np.nextafter(borders, 0), np.nextafter(borders, 9)])
    x = np.concatenate([near, -near]).astype(np.float32)
    assert len(x) % TABLE_LANES == 0
    assert (error(x) <= 1.8e-6).all()


def test_small_values_keep_their_digits() -> None:
    """The first piece is zero at zero, so that the error goes with the value."""
    x = np.logspace(-30, -2, 160).astype(np.float32)
    assert (error(np.concatenate([x, -x])) <= 1e-4 * np.concatenate([x, x])).all()


def test_from_the_last_piece_on_it_is_exact() -> None:
    x = np.linspace(5.5, 3e38, 160, dtype=np.float32)
    np.testing.assert_array_equal(gelu(x), x)
    np.testing.assert_array_equal(gelu(-x), np.zeros_like(x))


def test_what_is_not_finite() -> None:
    x = np.resize(np.array([np.nan, np.inf, -np.inf], np.float32), 48)
    np.testing.assert_array_equal(gelu(x)[:3], np.array([np.nan, np.inf, 0], np.float32))
