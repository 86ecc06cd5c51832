"""Every stage of the pipeline, the captured model first, runs in kernels of ours."""

import numpy as np
import pytest
import torch

from efcompile.bundle.build import Part
from efcompile.bundle.library import Library
from efcompile.bundle.load import load_bundle
from efcompile.bundle.sample import TOLERANCE, relative_error
from efcompile.bundle.write import write_bundle
from efcompile.capture import capture
from efcompile.compiler import lower_stage
from efcompile.models.input_size import default_input_size
from efcompile.models.randomize import randomize
from efcompile.models.zoo import resolve_model
from efcompile.passes.manager import run_pipeline
from efcompile.passes.pipeline import PIPELINE
from efcompile.targets.resolve import resolve


@pytest.mark.parametrize("source", ["efficientformer_l1", "efficientformerv2_s0", "timm:levit_256"])
def test_each_stage_compiles_and_is_right(
    source: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    module = randomize(resolve_model(source).eval(), seed=6)
    size = default_input_size(module)
    assert size is not None
    x = torch.randn(1, *size, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        wanted = [module(x).numpy()]
    captured = capture(module, x)
    stages = run_pipeline(captured.graph_module, captured.example_inputs, PIPELINE)
    graphs = {"capture": captured.graph_module}
    for stage in stages:
        if stage.record.outcome.rewritten:
            graphs[stage.name] = stage.graph_module
    assert len(graphs) > 5
    for name, graph_module in graphs.items():
        program = lower_stage(graph_module, captured.example_inputs, resolve("host"), "stage")
        assert program.leftovers == (), name
        parts: tuple[Part, ...] = ("shared",)
        folder = write_bundle(program, tmp_path_factory.mktemp("stage"), parts=parts)
        got = Library(load_bundle(folder), 2).run([np.asarray(x)])
        assert relative_error(got, wanted) <= TOLERANCE, name
