from typing import Any

import pytest
import torch

from efcompile.kernels.attention_heads import RowScratch, mixing_tile
from efcompile.kernels.attention_mixed import KERNEL
from efcompile.kernels.attention_parts import Carver
from efcompile.kernels.attention_shape import Shape, shape_of
from efcompile.kernels.emit import Emitter
from efcompile.kernels.register_tile import in_registers
from efcompile.targets.target import Target
from tests.kernels.attention_cases import NOTHING, Case
from tests.kernels.emulated import ARM64
from tests.kernels.harness import TARGETS, check, on_every_target, op_call

MIXES = ("mix1", "mix2", "mix2_bias")


def args_of(heads: int) -> dict[str, Any]:
    case = Case(heads=heads, queries=3, keys=19, layout="separate")
    args = {**NOTHING, **case.args(), "mix2_bias": torch.randn(heads)}
    args["mix1"], args["mix2"] = torch.randn(2, heads, heads)
    return args


@on_every_target
@pytest.mark.parametrize("heads", [1, 5, 17])
def test_any_number_of_heads(heads: int, target: Target) -> None:
    """One, more than a tile of the product has rows, more than a vector has lanes."""
    check(KERNEL, MIXES, targets=[target], **args_of(heads))


@pytest.mark.parametrize("target", [*TARGETS, ARM64], ids=lambda t: str(t.name))
def test_mixing_stays_in_registers_and_scratch(target: Target) -> None:
    shape = shape_of(op_call("attention", MIXES, **args_of(5)))
    assert isinstance(shape, Shape)
    tile = mixing_tile(shape, target)
    assert in_registers(tile.rows, tile.vectors, target)
    carver = Carver(Emitter().pointer("scratch"))
    scratch = RowScratch.take(carver, shape, target.lanes)
    assert scratch.rows.step % target.lanes == 0 and scratch.rows.step >= shape.keys
    assert carver.bytes >= 4 * (5 * scratch.rows.step + 5 * 5)
