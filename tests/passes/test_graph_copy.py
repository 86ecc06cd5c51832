"""Copies of graphs."""

import torch
from torch import nn

from efcompile.passes.base import sources
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.graph_copy import calls, copy_graph
from tests.passes.dialect import captured, image, results


def test_a_copy_is_independent_but_shares_its_constants() -> None:
    x = image(2, 4, 5, 5)
    original = captured(nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU()), x)
    twin = copy_graph(original)
    names = [node.name for node in original.graph.nodes]
    assert [node.name for node in twin.graph.nodes] == names
    for mine, theirs in zip(original.graph.nodes, twin.graph.nodes, strict=True):
        assert mine is not theirs
        assert sources(mine) == sources(theirs)
        if mine.op != "output":
            assert mine.meta["val"].shape == theirs.meta["val"].shape
    for name, value in original.named_buffers():
        assert twin.get_buffer(name) is value
    before = results(original, (x,))
    FoldBatchnorm().run(twin)
    assert calls(twin) == 2 and calls(original) == 3
    assert [node.name for node in original.graph.nodes] == names
    assert torch.equal(results(original, (x,))[0], before[0])
