"""Stages of a compilation as tables and as JSON."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from efcompile.passes.base import Outcome
from efcompile.passes.manager import Stage

_SHOWN = 3
"""Kinds of rewrite that a row of the table names; `passes --explain` lists them all."""


def pass_table(stages: Sequence[Stage]) -> Table:
    """A row per pass: nodes before and after, what it rewrote, how often it refused, errors."""
    table = Table(title="Passes")
    table.add_column("pass", no_wrap=True)
    table.add_column("nodes", justify="right", no_wrap=True)
    table.add_column("rewritten")
    table.add_column("refused", justify="right")
    table.add_column("max-abs error", justify="right")
    for stage in stages:
        record = stage.record
        table.add_row(
            stage.name + (" (approximate)" if record.approximate else ""),
            f"{record.nodes_before} -> {record.nodes_after}",
            summary(record.outcome),
            str(len(record.outcome.refused) or ""),
            f"{record.max_abs_error:.1e}" if record.outcome.rewritten else "",
        )
    return table


def kinds(outcome: Outcome) -> Counter[str]:
    """How often a pass rewrote each kind of place: its descriptions without node numbers,
    shapes and values."""
    return Counter(_kind(words) for words in outcome.rewritten)


def _kind(words: str) -> str:
    words = re.sub(r"(?<=\w)(_(default|tensor|scalar|int|dim))?(_\d+)?\b", "", words)
    words = re.sub(r" ?[\[(][\d., ]*[\])]", "", words)
    return re.sub(r"(?<![\w.])\d+(\.\d+)?(e[+-]\d+)?(?!\w)", "n", words)


def summary(outcome: Outcome) -> str:
    """``33: 30 x conv2d + batch_norm, ...``; empty if nothing was rewritten."""
    if not outcome.rewritten:
        return ""
    found = kinds(outcome).most_common()
    shown = [f"{count} x {kind}" for kind, count in found[:_SHOWN]]
    if len(found) > _SHOWN:
        shown.append(f"{len(found) - _SHOWN} of other kinds")
    return f"{len(outcome.rewritten)}: {', '.join(shown)}"


def as_json(stage: Stage) -> dict[str, Any]:
    """All that is recorded of a stage."""
    record = stage.record
    return {
        "pass": stage.name,
        "exactness": "approximate" if record.approximate else "exact",
        "nodes_before": record.nodes_before,
        "nodes_after": record.nodes_after,
        "rewritten": list(record.outcome.rewritten),
        "refused": [
            {"node": refusal.where, "source": refusal.source, "reason": refusal.reason}
            for refusal in record.outcome.refused
        ],
        "max_abs_error": record.max_abs_error,
        "relative_error": record.relative_error,
        "seconds": record.seconds,
    }
