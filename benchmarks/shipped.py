"""What the tuning that ships brings: whole models with it and without, in turns.

python benchmarks/shipped.py efficientformerv2_s0 --threads 1 --threads 2
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

import efcompile
from benchmarks.output import console
from efcompile.devices.local import Local
from efcompile.devices.statistics import difference_interval
from efcompile.report.contest import hold_contest


def main(
    models: list[str],
    threads: Annotated[list[int] | None, typer.Option(min=1)] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each model and threads")] = 12.0,
) -> None:
    """Print milliseconds, their ratio, and a 95 % interval of the difference."""
    for model in models:
        analytic = efcompile.optimize(model, threads=1, tuned=False).bundle
        shipped = efcompile.optimize(model, threads=1).bundle
        for count in threads or [1]:
            both = {"analytic": analytic, "shipped": shipped}
            scores = hold_contest(both, Local(), count, seconds).scores
            before, after = scores["analytic"], scores["shipped"]
            low, high = difference_interval(after.samples, before.samples)
            console.print(
                f"{model}, {count} thread(s): {before.total.value / 1e6:.3f} to "
                f"{after.total.value / 1e6:.3f} ms, {after.total.value / before.total.value:.3f} "
                f"({low / 1e6:+.3f} .. {high / 1e6:+.3f} ms)",
                markup=False,
            )


if __name__ == "__main__":
    typer.run(main)
