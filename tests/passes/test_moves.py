"""moves: where elements went."""

import torch
from torch import Tensor, nn

from efcompile.passes.legalise import Legalise
from efcompile.passes.moves import is_move, path_of, replayed, steps_of
from efcompile.passes.rewriting import is_op, shape
from tests.passes.dialect import after, captured, image


class Moves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x.exp().reshape(2, 3, 4).transpose(1, 2)[:, 1:4:2]
        return y[:, None].expand(2, 5, 2, 3).sigmoid()


def test_replays_what_the_graph_does() -> None:
    x = image(2, 12)
    graph_module = after([Legalise()], captured(Moves(), x))
    nodes = graph_module.graph.nodes
    (last,) = [n for n in nodes if is_op(n, "activation") and shape(n) == (2, 5, 2, 3)]
    path = path_of(last.args[0])
    assert all(map(is_move, path[:-1])) and is_op(path[-1], "activation")
    kinds = [kind for kind, _ in steps_of(path[:-1])]
    assert kinds[0] == "reshape" and {"permute", "slice", "expand"} < set(kinds)
    where = replayed(shape(path[-1]), steps_of(path[:-1]))
    want = x.reshape(2, 3, 4).transpose(1, 2)[:, 1:4:2][:, None].expand(2, 5, 2, 3)
    assert torch.equal(x.flatten()[where], want)
