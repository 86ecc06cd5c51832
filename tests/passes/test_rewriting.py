"""The tools: emitted nodes know their shape and sources."""

import torch
from torch.fx import Graph, GraphModule

from efcompile.passes.base import set_sources, sources
from efcompile.passes.rewriting import (
    changed,
    emit,
    emit_reshape,
    has_one_user,
    is_op,
    is_reshape,
    replace,
    shape,
)


def small() -> tuple[GraphModule, torch.fx.Node, torch.fx.Node]:
    graph = Graph()
    x = graph.placeholder("x")
    x.meta["val"] = torch.empty(2, 6, device="meta")
    set_sources(x)
    out = graph.output((x,))
    return GraphModule(torch.nn.Module(), graph), x, out


def test_emit_knows_shape_and_sources() -> None:
    graph_module, x, out = small()
    x.meta["custom"] = {"source": ("stem",)}
    y = emit(graph_module, out, "permute", x, [1, 0], origins=(x,))
    assert shape(y) == (6, 2) and sources(y) == ("stem",)
    assert is_op(y, "permute") and not is_op(y, "linear") and not is_op(x) and not is_op(None)


def test_reshape_only_where_needed() -> None:
    graph_module, x, out = small()
    assert emit_reshape(graph_module, out, x, (2, 6), (x,)) is x
    y = emit_reshape(graph_module, out, x, (3, 4), (x,))
    assert is_reshape(y) and shape(y) == (3, 4)


def test_changed_keeps_other_arguments() -> None:
    graph_module, x, out = small()
    y = emit(graph_module, out, "scalar", x, 2.0, 1.0, origins=(x,))
    z = changed(graph_module, out, y, (y,), add=5.0)
    assert z.args == (x, 2.0, 5.0) and y.args == (x, 2.0, 1.0)
    assert not has_one_user(x)
    replace(x, y)
    assert out.args == ((y,),)
