"""Where numbers part: the model as captured beside what the passes and kernels made of it."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.fx import GraphModule, Node

from efcompile.passes.base import sources
from efcompile.passes.verification import difference, node_values, run_graph
from efcompile.report.bisect import Bisection
from efcompile.report.counterparts import Counterpart, Values, counterparts
from efcompile.report.deviation import ratio_db
from efcompile.report.observation import Rig
from efcompile.report.subject import Subject
from efcompile.report.watch import Watch, silent


class Deviation(BaseModel):
    """How far values are from what they should be: max|y - ref|, that over max|ref|, decibels
    of signal over noise (None where nothing differs), and the cosine between the two as vectors
    (None where one is zero).  Infinite where only one has NaN or infinity."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    max_abs: float
    relative: float
    snr_db: float | None
    cosine: float | None


class StageRow(BaseModel):
    """A stage that differs from the one before: its outputs in eager PyTorch, and compiled on
    the device, both against the captured graph (or the last approximate pass, which is the
    reference for what follows)."""

    model_config = ConfigDict(frozen=True)

    name: str
    graph: Deviation
    compiled: Deviation | None


class NodeRow(BaseModel):
    """A node of the optimised graph.

    `counterpart` is the node of the original that computes the same value, with its dimensions
    in the order `dims`; None where the original has no such value.  `graph` compares the
    optimised graph in eager PyTorch with that, `compiled` the kernels with that, and `kernel` the
    kernels with the optimised graph.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    op: str
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    counterpart: str | None
    dims: tuple[int, ...] | None
    graph: Deviation | None
    compiled: Deviation | None
    kernel: Deviation | None


class Divergence(BaseModel):
    """All of it, as data.  `device` is None where no device runs the target's code: then only
    eager PyTorch was compared.  `gone` are the original's nodes that no node of the optimised
    graph corresponds to.  `bisection` is None where it was not asked for."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1]
    model: str
    target: str
    device: str | None
    tolerance: float
    stages: tuple[StageRow, ...]
    nodes: tuple[NodeRow, ...]
    gone: tuple[str, ...]
    bisection: Bisection | None

    @property
    def parted(self) -> bool:
        """Whether a stage or a node is past the tolerance."""
        found = [deviation for row in self.stages for deviation in (row.graph, row.compiled)]
        for row in self.nodes:
            found += [row.graph, row.compiled or row.kernel]
        return any(not d.relative <= self.tolerance for d in found if d)


def diverge(
    subject: Subject,
    target: str,
    rig: Rig | None,
    tolerance: float,
    watch: Watch = silent,
    bisection: Bisection | None = None,
) -> Divergence:
    """Run every distinct stage of `subject`, and the last one node by node, on its example inputs
    in eager PyTorch and, with a `rig`, compiled on its device.

    A value of the optimised graph counts as one of the original's within `tolerance` of its
    scale; see `efcompile.report.counterparts`.
    """
    stages = _stage_rows(subject, rig, watch)
    nodes, gone = _node_rows(subject, rig, tolerance)
    return Divergence(
        schema_version=1,
        model=subject.name,
        target=target,
        device=rig.device.name if rig else None,
        tolerance=tolerance,
        stages=tuple(stages),
        nodes=tuple(nodes),
        gone=gone,
        bisection=bisection,
    )


def deviation(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> Deviation:
    """`got` against `wanted`: the worst of all for the first two figures, all of them together
    for the others."""
    worst = difference(got, wanted)
    fits = all(y.shape == r.shape for y, r in zip(got, wanted, strict=True))
    return Deviation(
        max_abs=worst.absolute,
        relative=worst.relative,
        snr_db=ratio_db(got, wanted) if fits else None,
        cosine=_cosine(got, wanted) if fits else None,
    )


def _cosine(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> float | None:
    y, reference = (torch.cat([x.double().flatten() for x in side]) for side in (got, wanted))
    length = float(y.norm() * reference.norm())
    found = float(y @ reference) / length if length else math.nan
    return max(-1.0, min(1.0, found)) if math.isfinite(found) else None


def _stage_rows(subject: Subject, rig: Rig | None, watch: Watch) -> list[StageRow]:
    inputs = subject.captured.example_inputs
    names = ("captured", *(step.name for step in subject.pipeline))
    rows = []
    for position, name in enumerate(names):
        graph = subject.graphs[position]
        if position == 0 or graph is not subject.graphs[position - 1]:
            wanted = run_graph(subject.judge(position), inputs)
            compiled = deviation(rig.outputs(graph), wanted) if rig else None
            found = deviation(run_graph(graph, inputs), wanted)
            rows.append(StageRow(name=name, graph=found, compiled=compiled))
        watch("build", name, position + 1, len(names))
    return rows


def _node_rows(
    subject: Subject, rig: Rig | None, tolerance: float
) -> tuple[list[NodeRow], tuple[str, ...]]:
    inputs = subject.captured.example_inputs
    original, last = subject.judge(len(subject.stages)), subject.graphs[-1]
    final = rig.legal(last) if rig else last
    wanted, got = node_values(original, inputs), node_values(final, inputs)
    compiled = rig.node_values(final) if rig else {}
    found = counterparts(original, final, wanted, got, tolerance)
    nodes = {node.name: node for node in final.graph.nodes}
    rows = [
        _node_row(nodes[name], got[name], counterpart, compiled.get(name))
        for name, counterpart in found.items()
    ]
    return rows, _gone(original, wanted, {c.name for c in found.values() if c})


def _node_row(
    node: Node, value: Tensor, counterpart: Counterpart | None, compiled: Tensor | None
) -> NodeRow:
    def against(y: Tensor | None) -> Deviation | None:
        return deviation([y], [counterpart.value]) if counterpart and y is not None else None

    return NodeRow(
        name=node.name,
        op=str(node.target),
        sources=sources(node),
        shape=tuple(value.shape),
        counterpart=counterpart.name if counterpart else None,
        dims=counterpart.dims if counterpart else None,
        graph=against(value),
        compiled=against(compiled),
        kernel=None if compiled is None else deviation([compiled], [value]),
    )


def _gone(original: GraphModule, wanted: Values, kept: set[str]) -> tuple[str, ...]:
    return tuple(
        node.name
        for node in original.graph.nodes
        if node.op == "call_function" and node.name in wanted and node.name not in kept
    )
