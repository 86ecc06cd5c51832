"""The knobs that both attention kernels try."""

from dataclasses import replace

from efcompile.kernels.attention_parts import Knobs, values_apart, values_strided
from efcompile.kernels.attention_shape import Shape, pitch_of
from efcompile.kernels.spaces import (
    TWO_PRODUCTS,
    pixel_choices,
    pixels_legal,
    sizes,
    tile_choices,
    tile_legal,
    unroll_legal,
)
from efcompile.targets.target import Target


def knob_choices(shape: Shape, target: Target, default: Knobs) -> dict[str, tuple[int, ...]]:
    """Tiles of both products, blocks of queries around the default's, and pixels where the values
    are convolved."""
    rows, unit, local = default.task_queries, _unit(shape), shape.local
    blocks = sizes(-(-shape.queries // unit), rows // unit)
    pixels = {} if local is None else {"pixels": pixel_choices(local.across, target.registers)}
    return {
        **tile_choices("scores", rows, pitch_of(shape, target.lanes), target, TWO_PRODUCTS),
        **tile_choices("values", rows, shape.value_dim, target, TWO_PRODUCTS),
        "task_queries": tuple(block * unit for block in blocks),
        **pixels,
        **({"copy_values": (0, 1)} if _may_copy(shape) else {}),
    }


def knobs_legal(shape: Shape, target: Target, knobs: Knobs, default: Knobs) -> bool:
    """Whether the tiles fit a block of queries, which is whole rows of the image where the values
    are convolved."""
    rows, unit, local = knobs.task_queries, _unit(shape), shape.local
    scores, values = knobs.scores, knobs.values
    usual = replace(values, unroll=default.scores.unroll)
    if not (1 <= rows <= shape.queries and rows % unit == 0):
        return False
    pixels = (
        knobs.pixels == default.pixels
        if local is None
        else pixels_legal(knobs.pixels, local.across, target.registers)
    )
    pitch = pitch_of(shape, target.lanes)
    copied = _may_copy(shape) or knobs.copy_values == default.copy_values
    return (
        pixels
        and copied
        and tile_legal(scores, rows, pitch, target, None, TWO_PRODUCTS)
        and tile_legal(usual, rows, shape.value_dim, target, None, TWO_PRODUCTS)
        and unroll_legal(scores, side_by_side=False)
        # The values' is no knob: it leaves nothing of the keys over.
        and values.unroll == default.values.unroll
    )


def _unit(shape: Shape) -> int:
    """Queries that a block has a multiple of."""
    return 1 if shape.local is None else shape.local.across.out


def _may_copy(shape: Shape) -> bool:
    """Whether values may be copied or not."""
    return values_apart(shape) and not values_strided(shape)
