"""What both attention kernels may try; `together/test_spaces.py` runs what is legal."""

from dataclasses import replace

import torch

from efcompile.kernels import attention
from efcompile.kernels.attention_parts import Knobs
from efcompile.kernels.attention_shape import Shape, shape_of
from efcompile.kernels.attention_space import knob_choices, knobs_legal
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.harness import HOST, op_call

HEADS, WIDTH, SIDE = 2, 12, 6


def _shape(local: bool) -> Shape:
    """36 queries, the values convolved as an image of 6 x 6 or not."""
    args = {**NOTHING, **Case(heads=HEADS, queries=36, keys=36, value_dim=WIDTH).args()}
    constants: tuple[str, ...] = ()
    if local:
        args["local"] = torch.randn(HEADS * WIDTH, 3, 3, 1)
        args["local_grid"] = [SIDE, SIDE, 1, 1, 1, 1]
        constants = ("local",)
    shape = shape_of(op_call("attention", constants, **args))
    assert isinstance(shape, Shape), shape
    return shape


def _default(shape: Shape) -> Knobs:
    knobs: Knobs = attention.KERNEL.default_knobs(shape, HOST)
    return knobs


def test_blocks_are_rows_of_the_image_where_the_values_are_convolved() -> None:
    shape = _shape(local=True)
    default = _default(shape)
    choices = knob_choices(shape, HOST, default)
    assert "pixels" in choices
    assert len(choices["task_queries"]) > 1
    assert all(rows % SIDE == 0 for rows in choices["task_queries"])
    assert knobs_legal(shape, HOST, default, default)
    odd = replace(default, task_queries=SIDE + 1)
    assert not knobs_legal(shape, HOST, odd, default)


def test_without_a_convolution_any_block_and_no_pixels() -> None:
    shape = _shape(local=False)
    default = _default(shape)
    assert "pixels" not in knob_choices(shape, HOST, default)
    assert knobs_legal(shape, HOST, default, default)
    assert not knobs_legal(shape, HOST, replace(default, pixels=3), default)
    for rows in (0, 37):
        assert not knobs_legal(shape, HOST, replace(default, task_queries=rows), default)


def test_values_are_copied_or_not_only_where_both_can_be() -> None:
    merged = _shape(local=False)
    default = _default(merged)
    assert knob_choices(merged, HOST, default)["copy_values"] == (0, 1)
    adjacent = replace(merged, v_view=(0, 36 * WIDTH * HEADS, 36 * WIDTH, WIDTH, 1))
    strided = replace(merged, v_view=(0, 36 * WIDTH * HEADS, 36 * WIDTH, 1, 36))
    for shape, copies in ((adjacent, False), (strided, True)):
        fixed = _default(shape)
        assert fixed.copy_values == copies
        assert "copy_values" not in knob_choices(shape, HOST, fixed)
        assert not knobs_legal(shape, HOST, replace(fixed, copy_values=not copies), fixed)


def test_tiles_fit_the_registers() -> None:
    shape = _shape(local=False)
    default = _default(shape)
    large = replace(default.scores, rows=HOST.registers, vectors=2)
    assert not knobs_legal(shape, HOST, replace(default, scores=large), default)
