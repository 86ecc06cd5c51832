"""Chains of reshapes and permutes in a dialect graph: read one, write one in minimal form."""

from dataclasses import dataclass
from typing import Any

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes.base import add_constant, constant, set_sources
from efcompile.passes.rearrangement import Rearrangement, Shape
from efcompile.passes.rewriting import RESHAPE, emit, is_op, is_reshape, shape


@dataclass(frozen=True)
class Chain:
    """`root`'s value rearranged; `nodes` are the chain's reshapes and permutes, last one last."""

    root: Node
    rearrangement: Rearrangement
    nodes: tuple[Node, ...]

    @property
    def moves(self) -> bool:
        """Whether the chain has to copy: its root is no constant and its order not trivial."""
        return self.root.op != "get_attr" and not self.rearrangement.is_view


def is_link(node: object) -> bool:
    """Whether `node` is a reshape or a permute."""
    return is_reshape(node) or is_op(node, "permute")


def trace(node: Node) -> Chain:
    """The longest chain that ends at `node` and is one rearrangement; `node` itself is the root
    if it is no link of a chain."""
    links: list[Node] = []
    root = node
    while is_link(root):
        links.append(root)
        root = root.args[0]  # type: ignore[assignment]
    nodes: list[Node] = []
    total = Rearrangement.identity(shape(root))
    for link in reversed(links):
        step = _step(link, total)
        if step is None:  # splits dimensions unevenly: the chain starts anew here
            root, nodes = link.args[0], []  # type: ignore[assignment]
            step = _step(link, Rearrangement.identity(shape(root)))
            assert step is not None
        total = step
        nodes.append(link)
    return Chain(root, total, tuple(nodes))


def write(
    graph_module: GraphModule, root: Node, wanted: Rearrangement, origins: tuple[Node, ...]
) -> Node:
    """`root` rearranged by the fewest nodes: reshape, permute, reshape, each only if needed.

    Nodes that already do the same are used again; a constant root becomes a new constant.
    New nodes stand right behind `root`, so whatever comes after it may read them.
    """
    if wanted.is_identity:
        return root
    value = constant(graph_module, root)
    if value is not None:
        moved = value.reshape(wanted.atoms).permute(wanted.order).reshape(wanted.result)
        new = add_constant(graph_module, str(root.target), moved)
        set_sources(new, root)
        return new
    node = root
    if not wanted.is_view:
        node = _link(graph_module, node, RESHAPE, wanted.atoms, origins)
        node = _link(graph_module, node, ops.OPS["permute"].overload, wanted.order, origins)
    return _link(graph_module, node, RESHAPE, wanted.result, origins)


def normalise(graph_module: GraphModule, node: Node) -> bool:
    """Write the chains that `node` reads in minimal form; whether that changed anything."""
    done = False
    for operand in node.all_input_nodes:
        chain = trace(operand)
        if not chain.nodes:
            continue
        new = write(graph_module, chain.root, chain.rearrangement, chain.nodes)
        if new is not operand:
            node.replace_input_with(operand, new)
            done = True
    return done


def readers(node: Node) -> list[Node]:
    """The ops that read `node`, directly or through reshapes and permutes."""
    found: list[Node] = []
    waiting = [node]
    while waiting:
        for user in waiting.pop().users:
            (waiting if is_link(user) else found).append(user)
    return found


def _link(
    graph_module: GraphModule, x: Node, target: Any, numbers: Shape, origins: tuple[Node, ...]
) -> Node:
    if target is RESHAPE and shape(x) == numbers:
        return x
    for user in x.users:
        if user.target is target and user.args[0] is x and tuple(user.args[1]) == numbers:  # type: ignore[arg-type]
            following = _behind(x)
            if following is not user:
                following.prepend(user)
            return user
    return emit(graph_module, _behind(x), target, x, list(numbers), origins=(*origins, x))


def _behind(x: Node) -> Node:
    """The node before which a reader of `x` may stand, placeholders staying in front."""
    node = x.next
    while node.op == "placeholder":
        node = node.next
    return node


def _step(link: Node, total: Rearrangement) -> Rearrangement | None:
    if is_reshape(link):
        return total.reshaped(shape(link))
    return total.permuted(ops.arguments(link)["dims"])
