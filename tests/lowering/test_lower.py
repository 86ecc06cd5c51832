from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from efcompile.bundle.library import Library
from efcompile.bundle.load import load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.capture import capture, propagate
from efcompile.errors import UnsupportedOpError
from efcompile.kernels import gemm
from efcompile.kernels.knob_source import ANALYTIC, knob_source
from efcompile.kernels.knobs import flatten
from efcompile.lowering.lower import lower
from efcompile.lowering.program import ALIGNMENT, Program
from efcompile.models.randomize import randomize
from efcompile.passes.legalise import Legalise
from efcompile.targets.resolve import resolve
from tests.kernels.winners import tuned, winners


class _Blocks(nn.Module):
    """Two equal blocks, a value returned twice, and the input returned as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(5, 5, 3, padding=1), nn.BatchNorm2d(5), nn.GELU())
        self.two = nn.Sequential(nn.Conv2d(5, 5, 3, padding=1), nn.BatchNorm2d(5), nn.GELU())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.two(self.one(x)) + x
        return y, y, x, y.flatten(1)


def _legal(module: nn.Module, x: torch.Tensor) -> GraphModule:
    graph_module = capture(module, x).graph_module
    Legalise().run(graph_module)
    propagate(graph_module, (x,))
    return graph_module


def _program(module: nn.Module, x: torch.Tensor) -> Program:
    return lower(_legal(module, x), resolve("host"), "blocks")


def _run(program: Program, folder: Path, x: torch.Tensor) -> list[np.ndarray]:
    library = Library(load_bundle(write_bundle(program, folder)), 2)
    return library.run([x.numpy()])


def test_runs_and_returns_what_the_module_does(tmp_path: Path) -> None:
    x = torch.randn(2, 5, 7, 9)
    module = randomize(_Blocks().eval(), 0, (x,))
    wanted = module(x)
    for got, value in zip(_run(_program(module, x), tmp_path, x), wanted, strict=True):
        np.testing.assert_allclose(got, value.detach().numpy(), rtol=0, atol=1e-5)


def test_equal_shapes_share_a_kernel_but_not_their_weights() -> None:
    program = _program(_Blocks().eval(), torch.randn(1, 5, 7, 9))
    convs = [call for call in program.calls if call.op == "conv2d"]
    assert len(convs) == 2 and convs[0].symbol == convs[1].symbol
    assert convs[0].args[1] != convs[1].args[1]
    assert convs[0].sources == ("one.0",) and convs[1].sources == ("two.0",)


def test_the_memory_plan_keeps_live_buffers_apart() -> None:
    program = _program(_Blocks().eval(), torch.randn(1, 5, 7, 9))
    live: dict[str, tuple[int, int]] = {}
    for index, call in enumerate(program.calls):
        for name in call.args:
            live[name] = (live.get(name, (index, index))[0], index)
    arena = [b for b in program.buffers.values() if b.kind == "arena"]
    assert arena and all(b.offset % ALIGNMENT == 0 for b in arena)
    assert max(b.offset + b.bytes for b in arena) <= program.arena_bytes
    for a in arena:
        for b in arena:
            together = live[a.name][0] <= live[b.name][1] and live[b.name][0] <= live[a.name][1]
            if a is not b and together:
                assert a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset


def test_every_call_names_known_buffers_of_its_kernels_arity() -> None:
    program = _program(_Blocks().eval(), torch.randn(1, 5, 7, 9))
    for call in program.calls:
        assert len(call.args) == program.kernels[call.symbol].arity
        assert all(name in program.buffers for name in call.args)
        assert call.tasks >= 1


class _Exotic(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(torch.special.bessel_j0(x))


def test_kernels_have_the_knobs_of_the_source() -> None:
    target = resolve("host")
    graph_module = _legal(nn.Linear(24, 40), torch.randn(13, 24))
    plain = lower(graph_module, target, "plain", ANALYTIC)
    (kernel,) = plain.kernels.values()
    assert (kernel.origin, kernel.winner) == ("analytic", None)
    winner = tuned(gemm.KERNEL, kernel.shape, target)
    source = knob_source([winners(target, winner)])
    (other,) = lower(graph_module, target, "tuned", source).kernels.values()
    assert (other.origin, other.winner) == ("records", winner)
    assert flatten(other.knobs) == winner.knobs and other.symbol != kernel.symbol


def test_what_nothing_can_lower_is_named() -> None:
    with pytest.raises(UnsupportedOpError, match="bessel"):
        _program(_Exotic(), torch.randn(1, 4))
