"""Where the kernels' knobs come from, as the command line has it, and saying so."""

from pathlib import Path

from efcompile.cli.console import say
from efcompile.kernels.knob_source import KnobSource
from efcompile.kernels.tuning_records import find_knobs
from efcompile.targets.target import Target


def knobs_for(
    target: Target, tuning_records: Path | None, emulated_records: bool, tuned: bool
) -> KnobSource:
    """The knobs that the options ask for, with what is to be said of them on stderr.

    Raises what `efcompile.kernels.tuning_records.find_knobs` does.
    """
    found = find_knobs(target, tuning_records, emulated=emulated_records, tuned=tuned)
    for note in found.notes:
        say(f"note: {note}")
    return found.source
