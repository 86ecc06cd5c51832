"""The dialect: channels-last ops, plain and fused.  Importing this room registers them."""

from efcompile.ops import (
    activation,
    attention,
    conv,
    elementwise,
    feedforward,
    linear,
    movement,
    norm,
    pool,
)
from efcompile.ops.registry import OPS, Op, arguments, op_of

__all__ = [
    "OPS",
    "Op",
    "activation",
    "arguments",
    "attention",
    "conv",
    "elementwise",
    "feedforward",
    "linear",
    "movement",
    "norm",
    "op_of",
    "pool",
]
