"""What a pass is: match, check and rewrite, kept apart.

A pass is a frozen dataclass whose fields are its options.  `run` drives it to a fixed point:
every match is either rewritten or refused with a reason that the user can read, and a second
run of the same pass rewrites nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch.fx
from torch.fx import GraphModule, Node

from efcompile.errors import PassVerificationError

Exactness = Literal["exact", "approximate"]


@dataclass(frozen=True)
class Match:
    """A place where a pass may apply. `anchor` names the place (its node is the last one of
    the pattern); `nodes` holds the pattern's parts by role."""

    anchor: Node
    nodes: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """Why a pass left a place alone. `where` is a node's name, `source` its module path."""

    where: str
    source: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What one run of a pass did. `rewritten` describes each rewrite in a few words."""

    rewritten: tuple[str, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class Pass(ABC):
    """Base of every pass; see the module's docstring."""

    name: ClassVar[str]
    exactness: ClassVar[Exactness] = "exact"
    summary: ClassVar[str]

    @abstractmethod
    def match(self, graph_module: GraphModule) -> Iterator[Match]:
        """Yield the places the pattern occurs at; never changes the graph."""

    @abstractmethod
    def check(self, graph_module: GraphModule, match: Match) -> str | None:
        """Return why `match` must be left alone, or None; never changes the graph."""

    @abstractmethod
    def rewrite(self, graph_module: GraphModule, match: Match) -> str:
        """Rewrite the match and return a few words saying what was done."""

    def run(self, graph_module: GraphModule) -> Outcome:
        """Rewrite until nothing more matches; dead nodes and unused constants are dropped."""
        rewritten: list[str] = []
        for _ in range(_ROUNDS):
            refused: list[Refusal] = []
            changed = False
            for match in list(self.match(graph_module)):
                if not _alive(graph_module, match):
                    changed = True  # an earlier rewrite consumed a part: look again
                    continue
                reason = self.check(graph_module, match)
                if reason is None:
                    rewritten.append(self.rewrite(graph_module, match))
                    changed = True
                else:
                    refused.append(Refusal(match.anchor.name, source_of(match.anchor), reason))
            if not changed:
                return Outcome(tuple(rewritten), tuple(refused))
            clean(graph_module)
        raise PassVerificationError(
            f"pass {self.name} did not settle after {_ROUNDS} rounds; "
            f"last it did: {rewritten[-1] if rewritten else 'nothing'}"
        )


_ROUNDS = 200
"""Bound on rounds to a fixed point: far above what any real graph needs."""


def _alive(graph_module: GraphModule, match: Match) -> bool:
    parts = (match.anchor, *match.nodes.values())
    return all(not node._erased for node in parts)


def clean(graph_module: GraphModule) -> None:
    """Drop dead nodes and parameters or buffers that no node reads, then recompile."""
    graph_module.graph.eliminate_dead_code()
    used = {str(n.target) for n in graph_module.graph.nodes if n.op == "get_attr"}
    for store in (graph_module._parameters, graph_module._buffers):
        for name in [name for name in store if name not in used]:
            del store[name]
    graph_module.recompile()


def sources(node: Node) -> tuple[str, ...]:
    """Module paths in the user's model that `node` came from, in order."""
    return tuple(node.meta.get("custom", {}).get("source", ()))


def source_of(node: Node) -> str:
    """The sources of `node` as one string for messages."""
    return ", ".join(sources(node)) or "(model)"


def set_sources(node: Node, *origins: Node) -> None:
    """Give `node` the union of the origins' sources, in order of first appearance."""
    union = dict.fromkeys(path for origin in origins for path in sources(origin))
    node.meta["custom"] = {**node.meta.get("custom", {}), "source": tuple(union)}


def constant(graph_module: GraphModule, node: object) -> torch.Tensor | None:
    """The tensor behind a ``get_attr`` node, or None if `node` is anything else."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    value = getattr(graph_module, str(node.target), None)
    return value.detach() if isinstance(value, torch.Tensor) else None


def add_constant(graph_module: GraphModule, hint: str, value: torch.Tensor) -> Node:
    """Register `value` as a buffer with a fresh name like `hint` and return its ``get_attr``
    node, placed at the top of the graph (after the placeholders)."""
    base = hint.replace(".", "_")
    name, count = base, 0
    while hasattr(graph_module, name):
        count += 1
        name = f"{base}_{count}"
    graph_module.register_buffer(name, value.detach().contiguous())
    first = next(n for n in graph_module.graph.nodes if n.op != "placeholder")
    with graph_module.graph.inserting_before(first):
        node = graph_module.graph.get_attr(name)
    node.meta["val"] = value.detach().to("meta")
    return node
