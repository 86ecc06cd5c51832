"""The ledger for people: what the tables say, in lines that fit."""

import io

from rich.console import Console

from efcompile.cli.ledger_table import ledger_tables
from efcompile.report.document import Cost, Figure, Ledger, Provenance, Report, Row

CLASSES = ("fmla", "simd", "load", "store", "branch", "other")


def _figure(value: float, low: float, high: float, counted: bool) -> Figure:
    return Figure(
        value=value,
        low=low,
        high=high,
        unit="instructions" if counted else "ns",
        samples=1 if counted else 60,
        provenance="here",
    )


def _row(
    name: str,
    total: float,
    difference: tuple[float, float, float] | None,
    *,
    counted: bool,
    required: str | None = None,
) -> Row:
    made = _figure(*difference, counted) if difference else None
    parts = {c: _figure(total / 6, total / 6, total / 6, True) for c in CLASSES if counted}
    return Row(
        name=name,
        summary="",
        exactness="exact",
        nodes=1234,
        kernels=3567,
        flops=26_000_000_000,
        moved_bytes=4_140_000_000,
        arena_bytes=54_200_000,
        bundle_bytes=494_000_000,
        same_program=difference == (0, 0, 0),
        cost=Cost(total=_figure(total, total * 0.99, total * 1.01, counted), classes=parts),
        difference=made,
        class_differences={},
        leave_one_out=None if required else made,
        required=required,
        max_abs_error=7.6e-6,
        relative_error=1e-6,
        snr_db=111.4,
        rewritten=("a",) * 142,
        refused=(),
        kept=None,
    )


def _report(scale: float, *, counted: bool = False) -> Report:
    rows = (
        _row("captured", 100 * scale, None, counted=counted),
        _row("precompute-attention-bias", 110 * scale, (10 * scale,) * 3, counted=counted),
        _row("legalise", 110 * scale, (0, 0, 0), counted=counted, required="nothing else runs"),
        _row("fuse-mlp", 90 * scale, (-20 * scale, -21 * scale, 1 * scale), counted=counted),
    )
    where = Provenance(
        device="qemu" if counted else "local",
        target="host",
        machine="some core",
        threads=1,
        kind="emulated" if counted else "measured",
        versions={},
        date="2026-01-02",
    )
    return Report(
        schema_version=1,
        model="net",
        input_shapes=((1, 3, 8, 8),),
        target="host",
        command="",
        provenances={"here": where},
        ledger=Ledger(
            rows=rows,
            whole=_figure(-10 * scale, -11 * scale, -9 * scale, counted),
            rounds=60,
            seconds=1.0,
        ),
        profiles=(),
    )


def _printed(report: Report) -> str:
    file = io.StringIO()
    Console(file=file, width=100).print(ledger_tables(report))
    return file.getvalue()


def test_times_with_intervals_and_notices() -> None:
    said = _printed(_report(138_000.0))
    assert "ms, measured on local (some core), 1 thread(s), 60 rounds in turns" in said
    assert "12.420" in said and "+1.380 .. +1.380" in said and "same program" in said
    assert "precompute-attention-bias makes it slower: +1.380 ms" in said
    assert "fuse-mlp makes it slower" not in said
    assert "legalise is required: nothing else runs" in said
    assert "0.900 of the captured graph's" in said


def test_counts_by_class() -> None:
    said = _printed(_report(4_400_000.0, counted=True))
    assert "M instr, emulated on qemu (some core), 1 thread(s)" in said
    assert all(name in said for name in CLASSES)
    assert "rounds" not in said and "interval" not in said


def test_lines_fit_into_a_hundred_characters() -> None:
    for report in (_report(9_000_000.0), _report(99_000_000.0, counted=True), _report(9.0)):
        said = _printed(report)
        assert "…" not in said
        assert all(name in said for name in ("precompute-attention-bias", "left in", "refused"))
