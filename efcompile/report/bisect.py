"""Which pass, and which node of it, first puts numbers past a tolerance."""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch.fx import GraphModule, Node

from efcompile.passes.base import sources
from efcompile.passes.manager import TOLERANCE as ROUNDING
from efcompile.passes.verification import Outputs, difference, node_values, run_graph
from efcompile.report.counterparts import Values, counterparts
from efcompile.report.observation import Rig
from efcompile.report.subject import Subject
from efcompile.report.watch import Watch, silent


class Culprit(BaseModel):
    """The first stage past the tolerance, and the node that puts it there.

    `where` is ``graph`` where the pass `stage` rewrote the graph into one that computes something
    else, and ``kernel`` where the graph after it is right and a kernel for it is wrong.  `stage`
    is ``captured`` if the model as it is already compiles to something else.  `error` is the
    stage's, of its outputs' scale; `node_error` the node's own.  `reads` are the node's constants
    that came with this pass.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    where: Literal["graph", "kernel"]
    stage: str
    error: float
    node: str
    op: str
    sources: tuple[str, ...]
    node_error: float
    reads: tuple[str, ...]


class Bisection(BaseModel):
    """What was found among the stages in eager PyTorch (`graph`), and among the same stages
    compiled and run on the device (`compiled`); None where all is within the tolerance.  `runs`
    counts the stages that each had to run."""

    model_config = ConfigDict(frozen=True)

    graph: Culprit | None
    compiled: Culprit | None
    graph_runs: int
    compiled_runs: int


def bisect(subject: Subject, rig: Rig | None, tolerance: float, watch: Watch = silent) -> Bisection:
    """Find the first stage whose outputs on the example inputs are further than `tolerance` of
    their scale from what they should be (`Subject.judge`), then the node of it.

    First among the graphs in eager PyTorch, then, with a `rig`, among the compiled stages on its
    device.  As bisections do, this takes an error that is there to stay: of several faults it
    names one that leads from a right stage to a wrong one.
    """
    inputs = subject.captured.example_inputs

    def eager(graph: GraphModule) -> Outputs:
        return run_graph(graph, inputs)

    in_graphs = _search(subject, eager, tolerance, silent)
    graph = _in_graph(subject, *in_graphs[:2], tolerance) if in_graphs[0] is not None else None
    if rig is None:
        return Bisection(graph=graph, compiled=None, graph_runs=in_graphs[2], compiled_runs=0)

    def on_device(graph_module: GraphModule) -> Outputs:
        return rig.outputs(graph_module)

    position, error, runs = _search(subject, on_device, tolerance, watch)
    compiled = None
    if position is not None:
        judged = run_graph(subject.judge(position), inputs)
        wrong = not difference(eager(subject.graphs[position]), judged).relative <= tolerance
        compiled = (
            _in_graph(subject, position, error, tolerance)
            if wrong
            else _in_kernel(subject, rig, position, error, tolerance)
        )
    return Bisection(graph=graph, compiled=compiled, graph_runs=in_graphs[2], compiled_runs=runs)


def _search(
    subject: Subject,
    run: Callable[[GraphModule], Outputs],
    tolerance: float,
    watch: Watch,
) -> tuple[int | None, float, int]:
    """The first wrong position of ``subject.graphs`` (None: the last is right), its error, and
    how many stages were run."""
    graphs, inputs = subject.graphs, subject.captured.example_inputs
    distinct = [i for i, g in enumerate(graphs) if i == 0 or g is not graphs[i - 1]]
    most = 1 + (len(distinct) - 1).bit_length()
    errors: dict[int, float] = {}

    def right(position: int) -> bool:
        wanted = run_graph(subject.judge(position), inputs)
        errors[position] = difference(run(graphs[position]), wanted).relative
        watch("build", f"bisecting: {_named(subject, position)}", len(errors), most)
        return errors[position] <= tolerance

    if right(distinct[-1]):
        return None, errors[distinct[-1]], 1
    low, high = -1, len(distinct) - 1  # right before the first, wrong at the last
    while high - low > 1:
        middle = (low + high) // 2
        if right(distinct[middle]):
            low = middle
        else:
            high = middle
    return distinct[high], errors[distinct[high]], len(errors)


def _in_graph(subject: Subject, position: int | None, error: float, tolerance: float) -> Culprit:
    """Node by node, the stage against the right one before it."""
    assert position, "the captured graph is what it is compared with"
    inputs = subject.captured.example_inputs
    before, after = subject.graphs[position - 1], subject.graphs[position]
    wanted, got = node_values(before, inputs), node_values(after, inputs)
    found = counterparts(before, after, wanted, got, ROUNDING)
    errors = {name: c.relative for name, c in found.items() if c}
    node, worst = _first(after, errors, tolerance)
    old = {n.target for n in before.graph.nodes if n.op == "get_attr"}
    reads = [str(n.target) for n in node.all_input_nodes if n.op == "get_attr"]
    return _culprit(
        "graph", subject, position, error, node, worst, [name for name in reads if name not in old]
    )


def _in_kernel(
    subject: Subject, rig: Rig, position: int, error: float, tolerance: float
) -> Culprit:
    """Kernel by kernel, the compiled stage against the same graph in eager PyTorch."""
    graph = rig.legal(subject.graphs[position])
    wanted: Values = node_values(graph, subject.captured.example_inputs)
    got = rig.node_values(graph)
    errors = {name: difference([y], [wanted[name]]).relative for name, y in got.items()}
    node, worst = _first(graph, errors, tolerance)
    return _culprit("kernel", subject, position, error, node, worst, [])


def _first(graph: GraphModule, errors: dict[str, float], tolerance: float) -> tuple[Node, float]:
    """The node that the error comes from: the first past `tolerance` (else the worst), or
    what that reads if it is already past rounding there."""
    nodes = [node for node in graph.graph.nodes if node.name in errors]
    past = [node for node in nodes if not errors[node.name] <= tolerance]
    found = past[0] if past else max(nodes, key=lambda node: errors[node.name])
    before = _ancestors(found)
    early = [n for n in nodes if n in before and not errors[n.name] <= min(ROUNDING, tolerance)]
    first = early[0] if early else found
    return first, errors[first.name]


def _ancestors(node: Node) -> set[Node]:
    found: set[Node] = set()
    waiting = list(node.all_input_nodes)
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(current.all_input_nodes)
    return found


def _culprit(
    where: Literal["graph", "kernel"],
    subject: Subject,
    position: int,
    error: float,
    node: Node,
    node_error: float,
    reads: Sequence[str],
) -> Culprit:
    return Culprit(
        where=where,
        stage=_named(subject, position),
        error=error,
        node=node.name,
        op=str(node.target),
        sources=sources(node),
        node_error=node_error,
        reads=tuple(reads),
    )


def _named(subject: Subject, position: int) -> str:
    return subject.pipeline[position - 1].name if position else "captured"
