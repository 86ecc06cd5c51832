"""What a finished graph still contains that an expert would ask about."""

from collections import Counter
from dataclasses import dataclass

from torch.fx import GraphModule

from efcompile import ops
from efcompile.passes.rewriting import is_reshape

_COPIES = ("slice", "expand", "concat", "pad")


@dataclass(frozen=True)
class Accounting:
    """Names of the nodes of each kind that are left, in graph order.

    `batch_norms`: normalisations with running statistics that became affine ops or stayed;
    `copies`: slices, expands, concats and pads; `leftovers`: ops that are not of the dialect;
    `counts`: how often each dialect op occurs (free reshapes not counted).
    """

    batch_norms: tuple[str, ...]
    gathers: tuple[str, ...]
    permutes: tuple[str, ...]
    copies: tuple[str, ...]
    leftovers: tuple[str, ...]
    counts: dict[str, int]


def account(graph_module: GraphModule) -> Accounting:
    """List what is left in a graph after the pipeline."""
    names: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    leftovers: list[str] = []
    for node in graph_module.graph.nodes:
        if node.op != "call_function" or is_reshape(node):
            continue
        op = ops.op_of(node)
        if op is None:
            leftovers.append(f"{node.name}: {node.target}")
        else:
            counts[op.name] += 1
            names.setdefault(op.name, []).append(node.name)
    norms = [entry for entry in leftovers if "norm" in entry]
    return Accounting(
        batch_norms=tuple([*names.get("affine", []), *norms]),
        gathers=tuple(names.get("gather", [])),
        permutes=tuple(names.get("permute", [])),
        copies=tuple(name for kind in _COPIES for name in names.get(kind, [])),
        leftovers=tuple(leftovers),
        counts=dict(counts),
    )
