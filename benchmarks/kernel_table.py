"""The figures of `kernels.py` as a table and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks import output
from benchmarks.avx2_host import Host
from benchmarks.prepared import Prepared
from benchmarks.provenance import provenance
from benchmarks.rows import Row, Times
from efcompile.report.machine import Machine

_NUMBERS = (
    "calls", "us/call", "hot", "GFLOP/s", "FMA", "GB/s", "copy", "bound us", "by", "of bound",
    "time", "sum",
)  # fmt: skip


def kernel_table(model: str, rows: Sequence[Row], threads: int) -> Table:
    """A line per kernel; those that fall short are marked."""
    table = Table(title=f"{model}, {threads} thread(s), us per call in the network")
    table.add_column("kernel", no_wrap=True)
    table.add_column("shape", overflow="fold")
    for name in _NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_row(
            row.kernel,
            row.shape,
            str(row.calls),
            f"{row.us:.1f}",
            f"{row.us_hot:.1f}",
            f"{row.gflops:.0f}",
            f"{row.fma_share:.0%}",
            f"{row.gbs:.1f}",
            f"{row.copy_share:.0%}",
            f"{row.bound_us:.1f}",
            "gemm" if row.gemm_bound else row.bound_unit,
            f"{row.bound_share:.0%}",
            f"{row.time_share:.1%}",
            f"{row.cumulative:.1%}",
            "short" if row.short else "",
        )
    return table


def summary(rows: Sequence[Row], times: Times) -> str:
    """Whole-model time beside the sum of the calls and of the bounds, and who falls short."""
    whole = float(np.median(times.whole)) / 1e3
    total = sum(row.us * row.calls for row in rows)
    least = sum(row.bound_us * row.calls for row in rows)
    short = [row for row in rows if row.short]
    return (
        f"whole model {whole:.0f} us; sum of calls {total:.0f} us ({total / whole:.1%}); sum of "
        f"bounds {least:.0f} us ({least / whole:.0%}); {len(short)} of {len(rows)} kernels fall "
        f"short, {sum(row.time_share for row in short):.1%} of the time"
    )


def write_json(
    path: Path,
    machine: Machine,
    models: Sequence[tuple[Prepared, Times, Sequence[Row]]],
    host: Host,
    sampled: Mapping[str, int],
) -> None:
    """All figures: where they come from, the machine's peaks, and each model's rows; `sampled` as
    in `compare.Figure`, by model."""
    document = {
        "format": 1,
        "kind": "measured",
        "provenance": provenance((), host),
        "machine": asdict(machine),
        "models": [
            {
                "model": prepared.model,
                "whole_us": float(np.median(times.whole)) / 1e3,
                "sum_us": sum(row.us * row.calls for row in rows),
                "sampled": sampled[prepared.model],
                "resident_bytes": prepared.resident_bytes,
                "kernels": [asdict(row) | {"short": row.short} for row in rows],
            }
            for prepared, times, rows in models
        ],
    }
    output.write_json(path, document)
