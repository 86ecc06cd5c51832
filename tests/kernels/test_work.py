from math import prod
from pathlib import Path

import numpy as np
import pytest

from benchmarks.loops import instructions
from efcompile.kernels import ffn_shape, gemm, mlp_shape, pool, pool_linear, pool_mixer
from efcompile.kernels.activations import VECTOR
from efcompile.kernels.conv_shape import ConvShape
from efcompile.kernels.emit import Emitter
from efcompile.kernels.registry import KERNELS
from efcompile.kernels.stencil import Axis
from efcompile.kernels.work import ACTIVATIONS, Work, line, work_of
from efcompile.ops.activation import ACTIVATIONS as KNOWN
from efcompile.targets.resolve import resolve
from efcompile.tvm_api import build_object
from tests.bundle.binaries import tool


def test_every_kernel_and_activation_has_a_count() -> None:
    assert set(ACTIVATIONS) >= set(KNOWN)
    for kernel in KERNELS:
        # A kernel without a row is a KeyError, one with a row wants a real shape.
        with pytest.raises(AttributeError):
            work_of(kernel.name, None)


_PRODUCTS = ("fmla", "fmls", "fmul", "fdiv")
_MOVES = ("ldr", "ldp", "str", "adrp", "mov", "fmov", "dup", "ret")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_activation_is_made_with_fewer_operations_than_counted(
    name: str, tmp_path: Path
) -> None:
    target = resolve("arm64")
    e = Emitter()
    x = e.pointer("x")
    e.store(x, 0, VECTOR[name](e, e.load(x, 0, target.lanes), target.lanes), target.lanes)
    path = tmp_path / "activation.o"
    path.write_bytes(build_object([e.finish("activation")], target))
    listing = tool("llvm-objdump", "-d", "--no-show-raw-insn", path)
    code = [instruction.text for instruction in instructions(listing, "activation")]
    products = sum(text.startswith(_PRODUCTS) for text in code)
    others = sum(not text.startswith(_PRODUCTS + _MOVES) for text in code)
    multiply, add = ACTIVATIONS[name]
    assert (multiply <= products, add <= others) == (True, True), code


def test_a_kernel_without_a_row_is_refused() -> None:
    with pytest.raises(KeyError, match="'warp' must do is not counted"):
        work_of("warp", None)


def test_leftovers_are_memory_traffic_alone() -> None:
    assert work_of("leftover", None) == Work()


def test_taps_on_padding_do_not_count() -> None:
    inside = line(size=7, out=7, kernel=3, stride=1, padding=1)
    assert inside.taps == 7 * 3 - 2
    assert line(size=7, out=4, kernel=3, stride=2, padding=1).taps == 4 * 3 - 2
    assert line(size=9, out=5, kernel=3, stride=1, padding=0, dilation=2).taps == 15


def test_products() -> None:
    shape = gemm.Shape(images=1, m=49, n=448, k=1792, bias=True, residual=True, act="none")
    assert work_of("gemm", shape) == Work(matmul=49 * 448 * 1792, add=49 * 448)
    up_and_down = mlp_shape.Shape(1, 49, 96, 80, 320, True, True, False, "relu")
    hidden = 49 * 320
    assert work_of("mlp", up_and_down) == Work(matmul=hidden * (80 + 96), add=hidden)
    head = pool_linear.Shape(2, 49, 448, 1000, True, "none", 1e-5)
    pixels = 2 * 49 * 448
    assert work_of("pool_linear", head) == Work(2 * 1000 * 448, add=pixels, loads=pixels)


def test_a_convolution_is_a_product_unless_it_is_depthwise() -> None:
    taps = (56 * 3 - 1) ** 2
    dense = ConvShape(
        1, 112, 112, 24, 48, (3, 3), (2, 2), (1, 1), (1, 1), 1, True, False, "none", False
    )
    assert work_of("conv_direct", dense) == Work(matmul=taps * 24 * 48)
    depthwise = ConvShape(
        2, 112, 112, 24, 24, (3, 3), (2, 2), (1, 1), (1, 1), 24, True, False, "none", False
    )
    assert work_of("depthwise", depthwise) == Work(
        multiply=2 * taps * 24,
        loads=2 * (56 * 3 - 1) * 112 * 24,
        stores=2 * 56 * 56 * 24,
    )


def test_an_ffn_is_two_products_and_a_stencil() -> None:
    axis = Axis(14, 3, 1, 1)
    shape = ffn_shape.Shape(2, 96, 384, 80, axis, axis, True, True, True, True, "none", "none")
    work = work_of("ffn", shape)
    assert work.matmul == 2 * 196 * 384 * (96 + 80)
    assert work.multiply == 2 * 384 * (14 * 3 - 2) ** 2


def test_pools_add_columns_then_rows() -> None:
    """Counted by doing it, on one channel."""
    size = 6
    image = np.ones((size, size))
    columns = [[image[max(0, y - 1) : y + 2, x] for x in range(size)] for y in range(size)]
    adds = sum(len(c) - 1 for row in columns for c in row)
    adds += sum(len(range(max(0, x - 1), min(size, x + 2))) - 1 for x in range(size)) * size
    mixer = pool_mixer.Shape(1, size, size, 8, 3, residual=False, scale=False)
    work = work_of("pool_mixer", mixer)
    assert work.add == 8 * adds
    assert work.multiply == 8 * size * size
    assert work.loads == 8 * sum(len(c) for row in columns for c in row)
    assert work.stores == 8 * prod(image.shape)
    axis = pool.Axis(size, size, 3, 1, 1, 1)
    assert work_of("pool", pool.Shape("max", 1, axis, axis, 8, False)).add == work.add
