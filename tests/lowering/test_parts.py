"""The parts of a fused call, run one after the other in eager, compute what it does."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import GraphModule

from efcompile.kernels import registry
from efcompile.kernels.kernel import OpCall, Operand
from efcompile.lowering.calls import op_call
from efcompile.lowering.parts import parts_of, signature
from efcompile.ops import OPS
from efcompile.passes import split_fused
from efcompile.passes.base import Pass
from tests.passes.dialect import image
from tests.passes.fused_blocks import CASES, fused


def _fused_call(graph_module: GraphModule) -> OpCall:
    (node,) = (n for n in graph_module.graph.nodes if split_fused.signature(n))
    call = op_call(graph_module, node)
    assert signature(call) == split_fused.signature(node)
    return call


def _run(call: OpCall, given: dict[str, Tensor]) -> Tensor:
    args = dict(call.args)
    for name, value in call.args.items():
        if isinstance(value, Operand):
            constant = value.value
            args[name] = given[name] if constant is None else torch.from_numpy(constant.copy())
    result: Tensor = OPS[call.op].overload(**args)
    assert tuple(result.shape) == call.out.shape
    return result


def _noise(call: OpCall) -> dict[str, Tensor]:
    runtime = {k: v for k, v in call.args.items() if isinstance(v, Operand) and v.value is None}
    made = {id(v): image(*v.shape, seed=i) for i, v in enumerate(runtime.values())}
    return {k: made[id(v)] for k, v in runtime.items()}


@pytest.mark.parametrize(("model", "fuse", "shape", "expected"), CASES)
def test_parts_chain_up_to_the_whole(
    model: nn.Module, fuse: Pass, shape: tuple[int, ...], expected: dict[str, int]
) -> None:
    call = _fused_call(fused(model, fuse, image(*shape)))
    whole = _noise(call)
    chain = parts_of(call)
    assert chain is not None and len(chain) > 1
    last: Tensor | None = None
    for part in chain:
        given: dict[str, Tensor] = {}
        for name, origin in part.inputs.items():
            if origin is not None:
                given[name] = whole[origin]
            else:
                assert last is not None
                given[name] = last
        assert not isinstance(registry.find(part.call), str)
        last = _run(part.call, given)
    assert last is not None
    wanted: NDArray[np.float32] = _run(call, whole).numpy()
    assert np.abs(last.numpy() - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_an_op_without_parts_has_none() -> None:
    graph_module = fused(CASES[0][0], CASES[0][1], image(2, 5, 6))
    call = _fused_call(graph_module)
    chain = parts_of(call)
    assert chain is not None
    assert parts_of(chain[0].call) is None and signature(chain[0].call) is None
