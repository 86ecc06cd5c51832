"""How numbers part, as tables for people."""

from collections.abc import Iterator

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from efcompile.report.bisect import Culprit
from efcompile.report.divergence import Deviation, Divergence, NodeRow

_PAST = "red"
_PATH = 30
"""Longest module path that is printed whole: its end says more than its beginning."""


def divergence_tables(found: Divergence) -> Group:
    """Stages, then the nodes of the last one; what is past the tolerance is red and marked."""
    return Group(_stages(found), _nodes(found), *(Text(line) for line in _notices(found)))


def culprits(found: Divergence) -> list[str]:
    """What the bisection says, a line for each side; empty without one."""
    if found.bisection is None:
        return []
    sides = [("in eager PyTorch", found.bisection.graph, found.bisection.graph_runs)]
    if found.device is not None:
        compiled = found.bisection.compiled, found.bisection.compiled_runs
        sides.append((f"compiled, on {found.device}", *compiled))
    return [_culprit(side, culprit, runs, found) for side, culprit, runs in sides]


def _culprit(side: str, culprit: Culprit | None, runs: int, found: Divergence) -> str:
    if culprit is None:
        return f"bisect {side}: within {found.tolerance:.0e}"
    where = ", ".join(culprit.sources) or "(model)"
    what = {
        "graph": f"pass {culprit.stage} is the first past {found.tolerance:.0e}",
        "kernel": f"the graph is right, a kernel is wrong; first after {culprit.stage}",
    }[culprit.where]
    reads = f", which reads {', '.join(culprit.reads)}" if culprit.reads else ""
    return (
        f"bisect {side}: {what} (its outputs by {culprit.error:.1e}); node {culprit.node} "
        f"({_op(culprit.op)}) from {where}{reads} differs by {culprit.node_error:.1e} "
        f"[{runs} stages run]"
    )


def _table(*columns: str, left: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for position, column in enumerate(columns):
        if position < left:
            # Names give way on a narrow terminal; figures do not.
            table.add_column(column, overflow="ellipsis", min_width=8)
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def _stages(found: Divergence) -> Table:
    device = [] if found.device is None else [f"on {found.device}", "SNR"]
    table = _table("stage", "max abs", "relative", "SNR", "cosine", *device, "", left=1)
    table.title = f"{found.model} for {found.target}: outputs of every stage that differs"
    for row in found.stages:
        past = _past(found, row.graph, row.compiled)
        compiled = [] if found.device is None else [*_short(row.compiled)]
        cells = (*_long(row.graph), *compiled, "past" if past else "")
        table.add_row(row.name, *cells, style=_PAST if past else "")
    return table


def _nodes(found: Divergence) -> Table:
    device = [] if found.device is None else [f"on {found.device}", "kernel"]
    columns = ("node", "module", "original", "max abs", "relative", "SNR", "cosine")
    table = _table(*columns, *device, "", left=3)
    table.title = (
        "Nodes of the optimised graph against the original's (SNR in dB; "
        "kernel: compiled against the optimised graph)"
    )
    for row in found.nodes:
        past = _past(found, row.graph, row.compiled or row.kernel)
        compiled = []
        if found.device is not None:
            compiled = [_short(row.compiled)[0], _short(row.kernel)[0]]
        table.add_row(
            row.name,
            _module(row),
            row.counterpart or "none",
            *_long(row.graph),
            *compiled,
            "past" if past else "",
            style=_PAST if past else "",
        )
    return table


def _module(row: NodeRow) -> str:
    path = row.sources[-1] if row.sources else "(model)"
    return path if len(path) <= _PATH else f"...{path[-_PATH:]}"


def _past(found: Divergence, *deviations: Deviation | None) -> bool:
    return any(not d.relative <= found.tolerance for d in deviations if d)


def _long(found: Deviation | None) -> tuple[str, str, str, str]:
    if found is None:
        return "", "", "", ""
    cosine = "" if found.cosine is None else f"{found.cosine:.5f}"
    return f"{found.max_abs:.1e}", f"{found.relative:.1e}", _snr(found), cosine


def _short(found: Deviation | None) -> tuple[str, str]:
    return ("", "") if found is None else (f"{found.relative:.1e}", _snr(found))


def _snr(found: Deviation) -> str:
    return "" if found.snr_db is None else f"{found.snr_db:.0f}"


def _op(name: str) -> str:
    return name.removesuffix(".default")


def _notices(found: Divergence) -> Iterator[str]:
    alone = [row.name for row in found.nodes if row.counterpart is None]
    yield (
        f"{len(found.nodes) - len(alone)} of {len(found.nodes)} nodes compute a value of the "
        f"original's; without a counterpart: {', '.join(alone) or 'none'}"
    )
    yield (
        f"{len(found.gone)} values of the original are computed nowhere any more, or only inside "
        "a kernel"
    )
    if found.device is None:
        yield "not compiled: no device here runs the target's code; --device names one"
