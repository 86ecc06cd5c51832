"""split-fused: each fused op back to its parts, only where it was found to pay."""

import pytest
from torch import nn

from efcompile.passes.base import Pass, sources
from efcompile.passes.fuse_ffn import FuseFfn
from efcompile.passes.fuse_mlp import FuseMlp
from efcompile.passes.pipeline import PIPELINE
from efcompile.passes.split_fused import SplitFused, signature, signatures, with_splits
from tests.passes.dialect import check_pass, counts, image, only, reasons
from tests.passes.fused_blocks import CASES, ROWS, Ffn, Mlp, X, fused


@pytest.mark.parametrize(("model", "fuse", "shape", "expected"), CASES)
def test_a_fused_op_becomes_its_parts(
    model: nn.Module, fuse: Pass, shape: tuple[int, ...], expected: dict[str, int]
) -> None:
    x = image(*shape)
    graph_module = fused(model, fuse, x)
    name = fuse.name.removeprefix("fuse-").replace("-", "_")
    origins = set(sources(only(graph_module, name)))
    outcome = check_pass(SplitFused(tuple(signatures(graph_module))), graph_module, x)
    assert len(outcome.rewritten) == 1
    assert counts(graph_module) == expected
    last = "linear" if "linear" in expected else "binary"
    parts = [n for n in graph_module.graph.nodes if n.name.startswith(last)]
    assert all(set(sources(node)) == origins for node in parts)


@pytest.mark.parametrize("splits", [(), ("mlp(something else)",)])
def test_what_was_not_measured_to_pay_stays_fused(splits: tuple[str, ...]) -> None:
    x = image(*ROWS)
    graph_module = fused(Mlp(True), FuseMlp(), x)
    outcome = check_pass(SplitFused(splits), graph_module, x)
    assert counts(graph_module) == {"mlp": 1} and outcome.rewritten == ()
    assert "not known to be faster as its parts: mlp(" in reasons(outcome)


def test_signatures_say_the_work() -> None:
    graph_module = fused(Mlp(True), FuseMlp(), image(*ROWS))
    assert signature(only(graph_module, "mlp")) == (
        "mlp(x[10x6], weight1[12x6], bias1[12], weight2[6x12], bias2=None, residual[10x6], "
        "act=gelu)"
    )
    assert signatures(fused(Mlp(True), FuseMlp(), image(10, 6))) == signatures(graph_module)
    assert signatures(fused(Mlp(True), FuseMlp(), image(9, 6))) != signatures(graph_module)
    assert signatures(fused(Mlp(False), FuseMlp(), image(*ROWS))) != signatures(graph_module)
    ffn = [signatures(fused(Ffn(k, s), FuseFfn(), image(*X))) for k, s in ((3, 1), (5, 1), (3, 2))]
    assert len(set(ffn)) == 3
    assert "stride=[2, 2], padding=[1, 1], act1=relu, act2=gelu)" in next(iter(ffn[2]))


def test_it_joins_a_pipeline_that_has_something_to_split() -> None:
    assert with_splits(PIPELINE, ()) == PIPELINE
    longer = with_splits(PIPELINE, ("a", "b"))
    assert longer == (*PIPELINE, SplitFused(("a", "b")))
    assert with_splits(longer, ("c",)) == longer
    assert with_splits((*PIPELINE, SplitFused()), ("a", "b")) == longer
