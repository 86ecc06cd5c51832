"""The answers of ``efcompile passes``."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from rich.table import Table
from torch.fx import GraphModule

from efcompile.capture import capture
from efcompile.cli.console import err, out, print_json
from efcompile.cli.pass_table import as_json, kinds, pass_table
from efcompile.cli.source import Source
from efcompile.passes.accounting import Accounting, account
from efcompile.passes.base import Pass, Refusal
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.passes.pipeline import PIPELINE
from efcompile.passes.rewriting import is_reshape

aten = torch.ops.aten

_SHOWN = 4
"""Places that one line of the report names; --json lists them all."""


def list_passes(json: bool) -> None:
    """Every pass in the pipeline's order."""
    if json:
        print_json(
            [{"name": p.name, "exactness": p.exactness, "summary": p.summary} for p in PIPELINE]
        )
        return
    table = Table("pass", "exactness", "what it does")
    for p in PIPELINE:
        table.add_row(p.name, p.exactness, p.summary)
    out.print(table)


def explain(source: Source, pipeline: Sequence[Pass], json: bool) -> None:
    """Run the pipeline and report what every pass did and refused, and what is left."""
    with err.status(f"passes on {source.name}, {source.weights}"):
        captured = capture(source.module, source.inputs)
        before = census(captured.graph_module)
        stages = run_pipeline(captured.graph_module, captured.example_inputs, pipeline)
    after, left = census(stages[-1].graph_module), account(stages[-1].graph_module)
    if json:
        print_json(
            {
                "model": source.name,
                "passes": [as_json(stage) for stage in stages],
                "captured": asdict(before),
                "finished": asdict(after),
                "left": asdict(left),
            }
        )
        return
    for stage in stages:
        _explain_stage(stage)
    out.print(pass_table(stages))
    _account_for(before, after, left)


@dataclass(frozen=True)
class Census:
    """How many nodes of a graph are of the kinds that passes are about; in the dialect a
    reshape costs nothing."""

    nodes: int
    batch_norms: int
    gathers: int
    permutes: int
    reshapes: int
    copies: int


_KINDS = {
    "batch_norms": {"aten.batch_norm.default", "efcompile.affine.default"},
    "gathers": {"aten.index.Tensor", "aten.embedding.default", "efcompile.gather.default"},
    "permutes": {"aten.permute.default", "efcompile.permute.default"},
    "copies": {
        *("aten.slice.Tensor", "aten.expand.default", "aten.cat.default"),
        *("aten.constant_pad_nd.default", "aten.pad.default"),
        *(f"efcompile.{name}.default" for name in ("slice", "expand", "concat", "pad")),
    },
}


def census(graph_module: GraphModule) -> Census:
    """Count the nodes of a graph, captured or finished."""
    calls = [node for node in graph_module.graph.nodes if node.op == "call_function"]
    targets = [str(node.target) for node in calls]
    counted = {kind: sum(name in which for name in targets) for kind, which in _KINDS.items()}
    return Census(nodes=len(calls), reshapes=sum(map(is_reshape, calls)), **counted)


def _explain_stage(stage: Stage) -> None:
    outcome = stage.record.outcome
    out.print(f"[bold]{stage.name}[/]: {len(outcome.rewritten)} rewritten")
    for kind, count in kinds(outcome).most_common():
        out.print(f"  {count} x {kind}", markup=False)
    for reason, places in _by_reason(outcome.refused).items():
        shown = ", ".join(places[:_SHOWN]) + (", ..." if len(places) > _SHOWN else "")
        out.print(f"  refused {len(places)} x ({shown}): {reason}", markup=False)


def _by_reason(refused: Sequence[Refusal]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for refusal in refused:
        grouped.setdefault(refusal.reason, []).append(f"{refusal.where} in {refusal.source}")
    return grouped


def _account_for(before: Census, after: Census, left: Accounting) -> None:
    table = Table("what", "captured", "left", "which", title="What is left")
    which = {
        "batch_norms": left.batch_norms,
        "gathers": left.gathers,
        "permutes": left.permutes,
        "reshapes": ("free views",) if after.reshapes else (),
        "copies": left.copies,
    }
    for kind, count in asdict(before).items():
        names = which.get(kind, ())
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        table.add_row(kind.replace("_", " "), str(count), str(asdict(after)[kind]), shown)
    out.print(table)
    out.print("ops: " + _counted(Counter(left.counts)), markup=False)
    leftovers = Counter(entry.partition(": ")[2] for entry in left.leftovers)
    out.print("leftovers: " + _counted(leftovers), markup=False)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.most_common()) or "none"
