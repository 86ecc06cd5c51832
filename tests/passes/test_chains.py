"""Chains in graphs: read as one rearrangement, written in minimal form, shared."""

import torch
from torch import Tensor, nn
from torch.fx import Node

from efcompile.passes.chains import normalise, readers, trace, write
from efcompile.passes.legalise import Legalise
from efcompile.passes.rearrangement import Rearrangement
from efcompile.passes.rewriting import is_op, shape
from tests.passes.dialect import after, captured, counts, image, results


class Chain(nn.Module):
    """Tokens, transposed twice; the two reads of x differ by a reshape only."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n, h, w, c = x.shape
        y = x.permute(0, 3, 1, 2).reshape(n, c, h * w).permute(0, 2, 1)
        z = x.permute(0, 3, 1, 2)
        return y.exp(), z.reshape(n, c, h * w).exp()


def graph() -> torch.fx.GraphModule:
    return after([Legalise()], captured(Chain(), image(2, 3, 5, 4)))


def activations(graph_module: torch.fx.GraphModule) -> list[Node]:
    return [n for n in graph_module.graph.nodes if is_op(n, "activation")]


def test_trace_reads_the_whole_chain() -> None:
    first, second = activations(graph())
    chain = trace(first.all_input_nodes[0])
    assert chain.root.op == "placeholder" and not chain.moves and len(chain.nodes) == 3
    assert chain.rearrangement == Rearrangement.identity((2, 3, 5, 4)).reshaped((2, 15, 4))
    assert trace(second.all_input_nodes[0]).moves
    assert trace(first).nodes == ()


def test_readers_look_through_links() -> None:
    graph_module = graph()
    (x,) = [n for n in graph_module.graph.nodes if n.op == "placeholder"]
    assert set(readers(x)) == set(activations(graph_module))


def test_normalise_is_minimal_and_settles() -> None:
    graph_module = graph()
    before = results(graph_module, [image(2, 3, 5, 4)])
    assert all(normalise(graph_module, node) for node in activations(graph_module))
    graph_module.graph.eliminate_dead_code()
    graph_module.recompile()
    assert counts(graph_module) == {"reshape": 1, "permute": 1, "activation": 2}
    assert not any(normalise(graph_module, node) for node in activations(graph_module))
    for want, got in zip(before, results(graph_module, [image(2, 3, 5, 4)]), strict=True):
        assert torch.equal(want, got)


def test_write_uses_what_is_there_and_relays_constants() -> None:
    graph_module = graph()
    (x,) = [n for n in graph_module.graph.nodes if n.op == "placeholder"]
    order = Rearrangement.identity(shape(x)).permuted((0, 3, 1, 2))
    assert order is not None
    first = write(graph_module, x, order, (x,))
    assert write(graph_module, x, order, (x,)) is first
    assert write(graph_module, x, Rearrangement.identity(shape(x)), (x,)) is x
    graph_module.register_buffer("table", image(2, 3, 5, 4))
    with graph_module.graph.inserting_before(first):
        table = graph_module.graph.get_attr("table")
    table.meta["val"] = image(2, 3, 5, 4).to("meta")
    laid = write(graph_module, table, order, (x,))
    assert laid.op == "get_attr"
    value = getattr(graph_module, str(laid.target))
    assert torch.equal(value, image(2, 3, 5, 4).permute(0, 3, 1, 2))
