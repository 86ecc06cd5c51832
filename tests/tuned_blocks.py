"""A model that can be tuned, and records of having done so."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efcompile import CompiledModel
from efcompile.kernels import registry
from efcompile.kernels.kernel import Kernel
from efcompile.kernels.tuned import Kind, Split, Winners
from efcompile.kernels.tuning_records import winners_file
from efcompile.lowering import calls
from efcompile.models.randomize import randomize
from efcompile.ops import op_of
from efcompile.passes.split_fused import signatures
from efcompile.targets.target import Target
from tests.kernels.winners import split, tuned, winners


class Tokens(nn.Module):
    """Tokens [N, 13, 24] through a linear and an MLP with a residual."""

    default_input_size = (13, 24)

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc1, self.fc2 = nn.Linear(24, 40), nn.Linear(40, 72), nn.Linear(72, 40)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        out: Tensor = x + self.fc2(F.gelu(self.fc1(x)))
        return out


def tokens() -> Tokens:
    """`Tokens` in eval mode with random weights."""
    return randomize(Tokens().eval())


def rows(batch: int = 2) -> Tensor:
    """An input of it."""
    return torch.randn(batch, 13, 24, generator=torch.Generator().manual_seed(0))


def found_for(compiled: CompiledModel, *, apart: float | None = None) -> Winners:
    """Other knobs than the default ones for every gemm of `compiled`; with `apart`, that each of
    its fused ops costs 2 and this much apart."""
    assert compiled.history is not None
    graph = compiled.history.stages[-1].graph_module
    target = compiled.bundle.manifest.target
    served = [registry.find(calls.op_call(graph, n)) for n in graph.graph.nodes if op_of(n)]
    made = []
    for one in served:
        assert not isinstance(one, str)
        kernel: Kernel = one[0]
        if kernel.name == "gemm":
            made.append(tuned(kernel, one[1], target))
    splits: tuple[Split, ...] = ()
    if apart is not None:
        splits = tuple(split(text, apart) for text in signatures(graph))
    return winners(target, *made, splits=splits)


def keep(found: Winners, folder: Path, target: Target, kind: Kind = "measured") -> Path:
    """`found` in a folder of records, which is returned."""
    found.model_copy(update={"kind": kind}).dump(winners_file(folder, kind, target))
    return folder
