"""What every node of a graph computes when it is compiled: on a device, through our kernels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.bundle.build import Part
from efcompile.bundle.load import load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.devices.device import Device
from efcompile.kernels.knob_source import SHIPPED, KnobSource
from efcompile.lowering.lower import lower
from efcompile.lowering.program import Program
from efcompile.passes.graph_copy import copy_graph
from efcompile.passes.legalise import Legalise
from efcompile.passes.manager import run_pipeline
from efcompile.passes.rewriting import is_reshape
from efcompile.report.same_program import digest
from efcompile.report.stages import check_runs
from efcompile.targets.target import Target


@dataclass
class Rig:
    """Compiles graphs for `target` into `folder`, kernels with `knobs`, and runs them on `device`
    with `inputs`.

    Nothing is checked here: what a wrong stage computes is what one wants to see.  Equal
    programs are built and run once.  Raises what `check_runs` does.
    """

    inputs: tuple[Tensor, ...]
    target: Target
    device: Device
    threads: int
    folder: Path
    knobs: KnobSource = SHIPPED
    _runs: dict[bytes, list[Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_runs(self.device, self.target)

    def outputs(self, graph_module: GraphModule) -> list[Tensor]:
        """The graph's flat outputs; it is legalised first, where it is not yet."""
        return self._run(self._lower(self.legal(graph_module), "stage"))

    def legal(self, graph_module: GraphModule) -> GraphModule:
        """The graph in the dialect, not compared with what it was."""
        stages = run_pipeline(graph_module, self.inputs, (Legalise(),), verify=False)
        return stages[-1].graph_module

    def node_values(self, legal: GraphModule) -> dict[str, Tensor]:
        """What each kernel call of a graph in the dialect leaves in memory, by node name.

        The graph is compiled with all these values as further outputs, so they lie elsewhere in
        memory than usual; the kernels are the same ones.
        """
        graph_module = copy_graph(legal)
        end = next(node for node in graph_module.graph.nodes if node.op == "output")
        results = list(end.args[0])
        seen = [node for node in graph_module.graph.nodes if is_visible(node)]
        end.args = ((*results, *seen),)
        graph_module.recompile()
        program = self._lower(graph_module, "nodes")
        values = self._run(program)[len(results) :]
        return {node.name: value for node, value in zip(seen, values, strict=True)}

    def _lower(self, legal: GraphModule, name: str) -> Program:
        return lower(legal, self.target, name, self.knobs, self.inputs)

    def _run(self, program: Program) -> list[Tensor]:
        key = digest(program)
        if key not in self._runs:
            folder = self.folder / str(len(self._runs))
            bundle = load_bundle(write_bundle(program, folder, parts=(self._part,)))
            given = [np.ascontiguousarray(x.detach().numpy()) for x in self.inputs]
            found = self.device.run(bundle, given, threads=self.threads)
            self._runs[key] = [torch.from_numpy(array) for array in found]
        return self._runs[key]

    @property
    def _part(self) -> Part:
        """The emulator runs the static benchmark, this machine the library."""
        return "shared" if self.device.name == "local" else "bench"


def is_visible(node: Node) -> bool:
    """Whether a node computes a float32 tensor of its own; ``aten.reshape`` is a free view."""
    value = node.meta.get("val")
    return (
        node.op == "call_function"
        and not is_reshape(node)
        and isinstance(value, Tensor)
        and value.dtype == torch.float32
    )
