from dataclasses import replace

import pytest

from efcompile.kernels.ffn import KERNEL
from efcompile.kernels.ffn_shape import Shape
from efcompile.kernels.ffn_space import Knobs
from efcompile.kernels.knobs import with_values
from efcompile.kernels.stencil import Axis
from efcompile.targets.target import Target
from tests.kernels.emulated import ARM64
from tests.kernels.harness import HOST, PAIRS, TARGETS

pytestmark = pytest.mark.skipif(HOST.arch != "x86_64", reason="quarters and panels are for x86-64")


def shape_of(size: int, k: int, c: int, batch: int = 1, stride: int = 1) -> Shape:
    axis = Axis(size, 3, stride, 1)
    return Shape(batch, k, c, k, axis, axis, True, True, True, True, "gelu", "gelu")


@pytest.mark.parametrize("vector_bits", [256, 512])
def test_large_ones_are_cut_as_the_cores_like_it(vector_bits: int) -> None:
    target = replace(
        HOST, vector_bits=vector_bits, registers=vector_bits // 16, strassen=True,
        l1_bytes=48 << 10, l2_bytes=1 << 20, cores=1,
    )  # fmt: skip
    two = replace(target, cores=2)

    def knobs(shape: Shape, target: Target) -> Knobs:
        found: Knobs = KERNEL.default_knobs(shape, target)
        assert KERNEL.legal(shape, target, found)
        return found

    assert knobs(shape_of(7, 176, 704), target).strassen
    assert knobs(shape_of(14, 96, 384), target).rows == 14
    halves = knobs(shape_of(14, 96, 384), two)
    assert halves.strassen and halves.rows == 7
    assert not knobs(shape_of(7, 176, 704), two).strassen
    assert knobs(shape_of(7, 176, 704, batch=2), two).strassen
    assert not knobs(shape_of(56, 32, 128), target).strassen
    without = replace(target, strassen=False)
    assert not knobs(shape_of(14, 96, 384), without).strassen
    assert "strassen" not in KERNEL.choices(shape_of(14, 96, 384), without)


def test_knobs_that_cannot_be_are_refused() -> None:
    shape = shape_of(14, 96, 384)
    target = replace(HOST, cores=1)
    knobs = replace(KERNEL.default_knobs(shape, target), strassen=True, rows=14)
    assert KERNEL.legal(shape, target, knobs)
    assert not KERNEL.legal(shape, target, replace(knobs, rows=5))
    assert not KERNEL.legal(shape, target, replace(knobs, side_by_side=True))
    assert not KERNEL.legal(shape, replace(target, strassen=False), knobs)


def test_large_ones_go_panel_by_panel() -> None:
    axis = Axis(56, 3, 1, 1)
    shape = Shape(1, 32, 128, 32, axis, axis, True, True, True, True, "gelu", "gelu")
    for target in (replace(t, strassen=False, l1_bytes=48 << 10) for t in TARGETS):
        knobs = KERNEL.default_knobs(shape, target)
        assert KERNEL.legal(shape, target, knobs)
        assert knobs.by_panels == (target.arch == "x86_64")
        assert not KERNEL.default_knobs(replace(shape, c=32), target).by_panels
        assert not KERNEL.legal(shape, target, replace(knobs, strassen=True))
    usual = KERNEL.default_knobs(shape, ARM64)
    assert not usual.by_panels and not KERNEL.legal(shape, ARM64, replace(usual, by_panels=True))


@pytest.mark.parametrize("target", [*TARGETS, ARM64], ids=lambda t: str(t.name))
@pytest.mark.parametrize("stride", [1, 2])
def test_there_is_a_choice(stride: int, target: Target) -> None:
    shape = shape_of(14, 96, 384, stride=stride)
    default = KERNEL.default_knobs(shape, target)
    assert KERNEL.legal(shape, target, default)
    found = [
        (path, value)
        for path, values in KERNEL.choices(shape, target).items()
        for value in values
        if KERNEL.legal(shape, target, with_values(default, {path: value}))
    ]
    assert len({path for path, _ in found}) > 3


@pytest.mark.parametrize(("size", "rows"), [(14, 7), (16, 8), (24, 8), (28, 7), (48, 8)])
def test_tiles_of_pairs_fill_a_row(size: int, rows: int) -> None:
    target = replace(
        PAIRS, vector_bits=512, registers=32, strassen=False,
        l1_bytes=48 << 10, l2_bytes=1 << 20, cores=1,
    )  # fmt: skip
    shape = shape_of(size, *((96, 384) if size < 28 else (48, 192)))
    knobs = KERNEL.default_knobs(shape, target)
    assert KERNEL.legal(shape, target, knobs)
    assert knobs.up.pairs and (knobs.up.rows, knobs.up.vectors) == (rows, 2)
