"""Counting what passes are about."""

from efcompile.capture import capture
from efcompile.cli.explaining import census
from efcompile.passes.manager import run_pipeline
from efcompile.passes.pipeline import build_pipeline
from tests.small import image, small


def test_a_census_counts_before_and_after_the_pipeline() -> None:
    captured = capture(small(), image())
    before = census(captured.graph_module)
    assert (before.batch_norms, before.gathers, before.permutes) == (1, 0, 0)
    passes = build_pipeline(["legalise"])
    (stage,) = run_pipeline(captured.graph_module, captured.example_inputs, passes)
    legal = census(stage.graph_module)
    assert legal.batch_norms == 1, "an affine"
    assert legal.permutes > 0
    assert legal.nodes > before.nodes
