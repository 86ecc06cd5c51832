"""Which channel of a producer each element further on comes from.

Channels are followed through reshapes, permutes, slices and the like by running those very
ops on a tensor of channel numbers; so no pass has to know what a chain of views means.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from efcompile.passes.rewriting import shape

aten = torch.ops.aten
Step = Callable[[Tensor, Node], Tensor | None]


def _same_call(labels: Tensor, node: Node) -> Tensor:
    moved: Tensor = node.target(labels, *node.args[1:])  # type: ignore[operator]
    return moved


def _mean(labels: Tensor, node: Node) -> Tensor | None:
    dims = list(node.args[1])  # type: ignore[arg-type]
    low = labels.amin(dims, keepdim=True)
    if not bool((low == labels.amax(dims, keepdim=True)).all()):
        return None  # averages over channels
    return low.reshape(shape(node))


def _per_channel(labels: Tensor, node: Node) -> Tensor | None:
    """An op on images that treats every channel alike: pooling, resizing."""
    flat = labels.flatten(2)
    if not bool((flat == flat[..., :1]).all()):
        return None
    return flat[..., :1, None].expand(shape(node))


def _avg_pool2d(labels: Tensor, node: Node) -> Tensor | None:
    _, _, _, padding, ceil_mode, count_include_pad, divisor = node.args
    counted = bool(count_include_pad) and (any(padding) or bool(ceil_mode))  # type: ignore[arg-type]
    if counted or divisor is not None or labels.ndim != 4:
        return None  # the window's weights do not sum to one at the border
    return _per_channel(labels, node)


MOVEMENT: dict[object, Step] = {
    aten.reshape.default: _same_call,
    aten.permute.default: _same_call,
    aten.slice.Tensor: _same_call,
}
"""Ops that only move elements."""

AVERAGING: dict[object, Step] = {
    **MOVEMENT,
    aten.mean.dim: _mean,
    aten.avg_pool2d.default: _avg_pool2d,
}
"""Ops through which multiplying a channel and adding to it commute."""


@dataclass(frozen=True)
class Chain:
    """`nodes` lead from `source` (not among them) to the node that was asked about."""

    source: Node
    nodes: tuple[Node, ...]

    @property
    def private(self) -> bool:
        """Whether nothing else reads the source or any step but the last."""
        return all(len(node.users) == 1 for node in (self.source, *self.nodes[:-1]))


def chain_to(node: Node, steps: Iterable[object]) -> Chain:
    """The longest chain of ops in `steps` that ends in `node` (itself the last step)."""
    allowed, nodes = set(steps), []
    while node.op == "call_function" and node.target in allowed:
        nodes.append(node)
        node = node.args[0]  # type: ignore[assignment]
    return Chain(node, tuple(reversed(nodes)))


def numbered(source: Node, channel_dim: int) -> Tensor:
    """Channel numbers over the whole shape of `source`'s value, int32."""
    extent = shape(source)
    numbers = torch.arange(extent[channel_dim], dtype=torch.int32)
    return numbers.reshape(-1, *[1] * (len(extent) - 1 - channel_dim % len(extent))).expand(extent)


def follow(chain: Chain, channel_dim: int, steps: dict[object, Step]) -> Tensor | None:
    """Channel numbers of the chain's source over the chain's end; None if channels mix."""
    labels: Tensor | None = numbered(chain.source, channel_dim)
    for node in chain.nodes:
        labels = steps[node.target](labels, node) if labels is not None else None
    return labels


def by_channel(labels: Tensor, channel_dim: int) -> Tensor | None:
    """The one label of each channel, int64 [C]; None if a channel has several."""
    rows = labels.movedim(channel_dim, 0).flatten(1)
    if not bool((rows == rows[:, :1]).all()):
        return None
    return rows[:, 0].long()


def readers(
    node: Node, labels: Tensor, steps: dict[object, Step]
) -> Iterator[tuple[Node, Node, Tensor | None]]:
    """Who finally reads `node`, seen through `steps`: (reader, operand it reads, labels there).

    Labels are None where a step mixed channels. A graph output counts as a reader.
    """
    for user in node.users:
        step = steps.get(user.target) if user.op == "call_function" else None
        if step is None:
            yield user, node, labels
            continue
        after = step(labels, user)
        if after is None:
            yield user, node, None
        else:
            yield from readers(user, after, steps)
