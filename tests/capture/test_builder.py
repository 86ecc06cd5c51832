"""The graph under construction."""

import torch
from torch import Tensor
from torch.fx import Node

from efcompile.capture.builder import Builder, shape_of

X = torch.arange(24.0).reshape(2, 3, 4)


def _run(builder: Builder, result: Node) -> Tensor:
    builder.graph.output((result,))
    builder.graph.lint()
    builder.graph_module.recompile()
    value: Tensor = builder.graph_module(X)[0]
    return value


def _started() -> tuple[Builder, Node]:
    builder = Builder()
    builder.sources = ("here",)
    return builder, builder.placeholder("x", X)


def test_nodes_have_shapes_and_sources() -> None:
    builder, x = _started()
    y = builder.permute(x, [-1, 0, 1])
    assert y.args[1] == [2, 0, 1] and shape_of(y) == (4, 2, 3)
    assert y.meta["custom"] == {"source": ("here",)} and y.name == "permute"
    assert torch.equal(_run(builder, y), X.permute(2, 0, 1))


def test_what_does_nothing_makes_no_node() -> None:
    builder, x = _started()
    assert builder.reshape(x, (2, 3, 4)) is x
    assert builder.permute(x, [0, 1, 2]) is x
    assert builder.cut(x, 1, 0, 2**63 - 1) is x
    assert builder.cut(x, -1, None, None) is x


def test_cut_takes_pythons_bounds() -> None:
    for start, end, step in ((0, 2, 1), (-3, -1, 1), (1, 99, 2), (3, 1, 1), (None, -2, 1)):
        builder, x = _started()
        y = builder.cut(x, 2, start, end, step)
        assert torch.equal(_run(builder, y), X[:, :, start:end:step])
        low, high = y.args[2:4]
        assert isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= 4


def test_pick_drops_the_dimension() -> None:
    builder, x = _started()
    assert torch.equal(_run(builder, builder.pick(x, -2, -1)), X[:, -1])


def test_constants_get_flat_names_once() -> None:
    builder, _ = _started()
    value = torch.ones(3)
    first = builder.constant("block.weight", value)
    assert builder.constant("block.weight", value) is first
    assert first.target == "block_weight" and first.meta["custom"] == {"source": ("block",)}
    other = builder.constant("block_weight", torch.zeros(3))
    assert other.target == "block_weight_"
    found = builder.value_of(other)
    assert found is not None and torch.equal(found, torch.zeros(3))
    assert builder.value_of(None) is None
    literal = builder.literal(torch.ones(1))
    assert literal.meta["custom"] == {"source": ("here",)}
