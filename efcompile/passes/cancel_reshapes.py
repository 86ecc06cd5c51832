"""cancel-reshapes: no permute that channels-last makes free, no round trip through 3-D or 4-D.

Before (what legalise leaves around two convolutions)::

    conv2d -> permute NHWC->NCHW -> activation -> permute NCHW->NHWC -> conv2d

After::

    conv2d -> activation -> conv2d

One sweep in graph order carries every chain of reshapes and permutes behind the ops that do
not mind (see `sinking`), so that it meets the chain that undoes it; what is left of a chain
becomes at most one permute, over as few dimensions as possible, with free reshapes on either
side (see `rearrangement`). The permute of the model's own input in front of a convolution
becomes that convolution's `nchw_input`: here and not in `fuse`, because it is the same
question, whether a layout change at the boundary can vanish.

Preconditions: the graph is legalised. Nothing is computed in another order, so results are
equal to the bit, except that constants are re-laid. Every permute that stays is refused with
the reason why its data has to move.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.errors import PassVerificationError
from efcompile.passes.base import Match, Outcome, Pass, Refusal, clean, source_of
from efcompile.passes.chains import Chain, is_link, normalise, readers, trace
from efcompile.passes.rearrangement import Rearrangement
from efcompile.passes.rewriting import changed, is_op, is_reshape, replace, shape
from efcompile.passes.sinking import SINKS

_SWEEPS = 20
"""Bound on sweeps: one does the work, a second finds nothing in any real graph."""


@dataclass(frozen=True)
class CancelReshapes(Pass):
    """See the module's docstring."""

    name: ClassVar[str] = "cancel-reshapes"
    summary: ClassVar[str] = "let reshape and permute chains meet and vanish"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Every op that reads a chain, in graph order, then every permute.

        Evaluated lazily while `run` rewrites, so that a chain moved behind one op is seen by
        the next one.
        """
        for node in list(graph_module.graph.nodes):
            if not node._erased and not is_link(node) and any(map(is_link, node.all_input_nodes)):
                yield Match(node)
        for node in list(graph_module.graph.nodes):
            if not node._erased and node.users and is_op(node, "permute"):
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """The reason why a permute stays; ops themselves are never refused."""
        if not is_op(match.anchor, "permute"):
            return None
        return _reason(trace(match.anchor), readers(match.anchor))

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Sink or normalise the chains that the anchor reads; empty if they are as they
        should be."""
        node = match.anchor
        sink = SINKS.get(_op_name(node))
        sunk = sink(graph_module, node) if sink is not None else None
        if sunk is not None:
            replace(node, sunk)
            return f"moved a chain behind {node.name}"
        if _reads_model_input(node):
            chain = trace(ops.arguments(node)["x"])
            conv = changed(graph_module, node, node, (node,), x=chain.root, nchw_input=True)
            replace(node, conv)
            return f"{node.name} reads the model's input in place"
        return f"shortened a chain before {node.name}" if normalise(graph_module, node) else ""

    def run(self, graph_module: GraphModule) -> Outcome:
        """Sweep until nothing moves; see `Pass.run`."""
        rewritten: list[str] = []
        for _ in range(_SWEEPS):
            done: list[str] = []
            refused: list[Refusal] = []
            for match in self.match(graph_module):
                reason = self.check(graph_module, match)
                if reason is not None:
                    where = match.anchor
                    refused.append(Refusal(where.name, source_of(where), reason))
                elif did := self.rewrite(graph_module, match):
                    done.append(did)
            clean(graph_module)
            if not done:
                return Outcome(tuple(rewritten), tuple(refused))
            rewritten += done
        raise PassVerificationError(
            f"pass {self.name} did not settle after {_SWEEPS} sweeps; last it did: {rewritten[-1]}"
        )


def _op_name(node: Node) -> str:
    op = ops.op_of(node)
    return op.name if op is not None else ""


def _reads_model_input(node: Node) -> bool:
    """Whether `node` is a dense convolution of the model's input, made NHWC by a permute."""
    if not is_op(node, "conv2d"):
        return False
    arguments = ops.arguments(node)
    chain = trace(arguments["x"])
    if chain.root.op != "placeholder" or len(shape(chain.root)) != 4 or arguments["groups"] != 1:
        return False
    to_last = Rearrangement.identity(shape(chain.root)).permuted((0, 2, 3, 1))
    return not arguments["nchw_input"] and chain.rearrangement == to_last


def _behind_slices(ends: list[Node]) -> list[Node]:
    """`ends`, with the readers of slices in place of the slices."""
    found: list[Node] = []
    for end in ends:
        found += _behind_slices(readers(end)) if is_op(end, "slice") else [end]
    return found


def _reason(chain: Chain, ends: list[Node]) -> str:
    """Why the data of `chain` has to move for the ops that read it."""
    order = list(chain.rearrangement.order)
    factors = "x".join(map(str, chain.rearrangement.atoms))
    names = ", ".join(dict.fromkeys(_op_name(r) or str(r.target) for r in ends))
    if any(r.op == "output" for r in ends):
        why = "the model returns this value in its own layout (NCHW)"
    elif chain.root.op == "placeholder":
        why = f"the model's input arrives in its own layout and {names} cannot read it in place"
    elif any(is_op(r, "attention") for r in _behind_slices(ends)):
        why = "attention has its operand in this order; attention-views may read it in place"
    elif any(is_op(r, "matmul", "softmax") for r in ends):
        why = f"{names} needs whole matrices"
    elif any(_op_name(r) == "" and not is_reshape(r) for r in ends):
        why = f"{names} is not one of our ops and reads its own layout"
    else:
        why = f"{names} needs its rows in another order than {chain.root.name} writes them"
    return f"moves data for real ({factors} read in order {order}): {why}"
