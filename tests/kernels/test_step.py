from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from efcompile.kernels.emit import Emitter
from efcompile.kernels.register_tile import choose_tile, pack_panels
from efcompile.kernels.stencil import Axis
from efcompile.kernels.step import Steps, project, step_rows
from efcompile.tvm_api import build_object
from tests.kernels.harness import HOST, assert_close, run_code

NARROW, WIDE = Axis(7, 3, 1, 1), Axis(56, 3, 1, 1)


def test_steps_are_taller_where_the_weights_are_heavier() -> None:
    host = replace(HOST, cores=1, l1_bytes=1 << 15, l2_bytes=1 << 20)

    def rows(weights: int, axis: Axis, row_bytes: int = 1 << 14) -> int:
        return step_rows(weights, 1, axis, axis, lambda rows: rows * row_bytes, host)

    assert rows(1 << 14, WIDE) == 1
    assert rows(1 << 14, NARROW) == 1
    assert rows(1 << 18, WIDE) == 1
    assert rows(1 << 15, NARROW) == 7  # its rows have no room beside it in L1
    assert rows(1 << 18, NARROW) == 7
    assert rows(1 << 18, Axis(10, 3, 1, 1)) == 4
    assert rows(1 << 22, NARROW) == 7
    assert rows(1 << 22, NARROW, row_bytes=1 << 18) == 4
    two = replace(host, cores=2)
    assert step_rows(1 << 22, 1, NARROW, NARROW, lambda rows: rows << 14, two) == 4


@pytest.mark.parametrize(("rows", "count", "width"), [(1, 7, 7), (7, 1, 49), (4, 2, 7), (3, 3, 7)])
def test_the_product_takes_full_steps_whole(rows: int, count: int, width: int) -> None:
    steps = Steps(NARROW, NARROW, rows)
    assert (steps.count, steps.product_width) == (count, width)


@pytest.mark.parametrize("rows", [7, 4])
def test_projects_the_rows_of_a_step(rows: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(49, 9), torch.randn(21, 9), torch.randn(21)
    steps, e = Steps(NARROW, NARROW, rows), Emitter()
    tile = choose_tile(steps.product_width, 21, HOST, 9)
    a, w, b, out = (e.pointer(name) for name in ("a", "w", "b", "out"))
    e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    with e.loop(end - begin, "task", begin):
        project(e, steps, rows, tile, (9, 21), a, w, b, out, None, "relu", None, prefetch=True)
    code = build_object([e.finish("kernel_under_test")], HOST)
    got = torch.full((7 * rows, 21), float("nan")).numpy()
    arrays = [x.numpy(), pack_panels(weight.numpy(), tile.panel), bias.numpy()]
    run_code(code, arrays, got, 0, 1)
    assert_close(got, F.relu(F.linear(x[: 7 * rows], weight, bias)).numpy())
