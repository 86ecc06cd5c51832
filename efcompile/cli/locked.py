"""Obeying a lock on the command line, and saying so."""

from collections.abc import Sequence
from pathlib import Path

from efcompile.cli.console import say
from efcompile.cli.source import Source
from efcompile.passes.base import Pass
from efcompile.report.lock import find_decision, obey
from efcompile.targets.target import Target


def obeying(
    lock: Path, pipeline: Sequence[Pass], source: Source, target: Target
) -> tuple[Pass, ...]:
    """`pipeline` without what `lock` leaves out for this model and target, told on stderr.

    Raises `ReportError` if the lock has no decision on them, or is none.
    """
    shapes = [tuple(x.shape) for x in source.inputs]
    decision = find_decision(lock, source.name, shapes, target)
    kept = obey(decision, pipeline, lock)
    for entry in decision.left_out:
        say(f"{lock}: without {entry.name}: {entry.reason}")
    if not decision.left_out:
        say(f"{lock}: all passes stay in")
    return kept
