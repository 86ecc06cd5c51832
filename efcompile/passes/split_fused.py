"""split-fused: a fused op that this machine runs faster as its parts becomes them again.

Before and after::

    mlp         linear(act) -> linear(residual)
    ffn         linear(act1) -> depthwise conv2d(act2) -> linear(residual)
    separable   depthwise conv2d(act1) -> linear(act2, residual)
    pool_mixer  avg_pool2d -> minus x -> times scale -> plus residual

Fusing saves memory traffic; where weights or hidden rows are of the wrong size for the caches, two
good kernels beat one.  Which does is measured: `splits` are the signatures (see `fused_parts`) of
the work for which tuning found the parts faster.  It stands behind all that fuses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.fx import GraphModule, Node

from efcompile import ops
from efcompile.passes import fused_parts
from efcompile.passes.base import Match, Pass
from efcompile.passes.rewriting import emit, replace, shape


@dataclass(frozen=True)
class SplitFused(Pass):
    """See the module's docstring."""

    splits: tuple[str, ...] = ()

    name: ClassVar[str] = "split-fused"
    summary: ClassVar[str] = "fused ops that were measured to be faster apart as their parts"

    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Ops that have parts."""
        for node in graph_module.graph.nodes:
            if signature(node) is not None:
                yield Match(node)

    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Tuning found the parts to be faster."""
        text = signature(match.anchor)
        return None if text in self.splits else f"not known to be faster as its parts: {text}"

    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """The parts, one reading the other."""
        node = match.anchor
        op = ops.op_of(node)
        assert op is not None
        last: Node | None = None
        made = []
        for part in fused_parts.parts(op.name, ops.arguments(node), _shape_of):
            args = [last if v is fused_parts.PREVIOUS else v for v in part.args.values()]
            last = emit(graph_module, node, part.op, *args, origins=(node,))
            made.append(last.name)
        assert last is not None
        replace(node, last)
        return f"{node.name}: {' + '.join(made)}"


def signature(node: Node) -> str | None:
    """What names the work of a fused op's node; None of any other node."""
    op = ops.op_of(node)
    return None if op is None else fused_parts.signature(op.name, ops.arguments(node), _shape_of)


def signatures(graph_module: GraphModule) -> frozenset[str]:
    """Those of all fused ops of a graph."""
    found = (signature(node) for node in graph_module.graph.nodes)
    return frozenset(text for text in found if text is not None)


def with_splits(pipeline: Sequence[Pass], splits: Sequence[str]) -> tuple[Pass, ...]:
    """`pipeline` with `splits` for this pass: where it stands without any, else behind the rest.
    Without `splits` it is left as it is, and so is a pass that has its own."""
    if not splits:
        return tuple(pipeline)
    new = SplitFused(tuple(splits))
    if not any(isinstance(step, SplitFused) for step in pipeline):
        return (*pipeline, new)
    return tuple(new if step == SplitFused() else step for step in pipeline)


def _shape_of(value: Any) -> tuple[int, ...] | None:
    return shape(value) if isinstance(value, Node) else None
