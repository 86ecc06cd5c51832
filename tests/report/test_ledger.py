"""The ledger, really built and measured: rows, sums, intervals, planted passes."""

import shutil
from dataclasses import replace
from typing import Any

import pytest

from efcompile import compiler
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError, ParityError
from efcompile.lowering.lower import lower
from efcompile.lowering.program import Program
from efcompile.report.document import Figure, Report, Row
from efcompile.report.ledger import CAPTURED, measure_ledger
from efcompile.targets.resolve import resolve
from tests.report.blocks import Rough, subject


def _row(report: Report, name: str) -> Row:
    (found,) = [row for row in report.ledger.rows if row.name == name]
    return found


def _difference(row: Row) -> Figure:
    assert row.difference is not None
    return row.difference


def test_a_row_for_every_pass_in_order(measured: Report) -> None:
    names = [row.name for row in measured.ledger.rows]
    assert names[:5] == [CAPTURED, "fold-batchnorm", "fold-layer-scale", "wasteful", "swapped"]
    assert names[5:] == ["legalise", "cancel-reshapes", "fuse-epilogue"]
    assert measured.ledger.rows[0].difference is None
    assert measured.model == "blocks" and measured.input_shapes == ((1, 32, 29, 29),)
    assert measured.command == "measured in a test"


def test_differences_add_up_to_the_whole_exactly(measured: Report) -> None:
    rows = measured.ledger.rows
    total = sum(_difference(row).value for row in rows[1:])
    assert total == measured.ledger.whole.value
    assert total == rows[-1].cost.total.value - rows[0].cost.total.value


def test_intervals_contain_what_they_are_about(measured: Report) -> None:
    for row in measured.ledger.rows:
        total = row.cost.total
        assert 0 < total.low <= total.value <= total.high
        if row.difference:
            assert row.difference.low <= row.difference.value <= row.difference.high


def test_a_pass_that_changes_nothing_shares_its_program(measured: Report) -> None:
    row, before = _row(measured, "fold-layer-scale"), _row(measured, "fold-batchnorm")
    assert row.same_program and row.rewritten == ()
    assert (row.cost, row.kernels, row.bundle_bytes) == (
        before.cost,
        before.kernels,
        before.bundle_bytes,
    )
    assert (_difference(row).value, _difference(row).low, _difference(row).high) == (0, 0, 0)
    assert row.leave_one_out is not None and row.leave_one_out.value == 0
    # Every stage is legalised to be run, so legalising is no change of the program either.
    assert _row(measured, "legalise").same_program and _row(measured, "legalise").rewritten


def test_a_slow_pass_is_seen(measured: Report) -> None:
    row, before = _row(measured, "wasteful"), _row(measured, "fold-layer-scale")
    assert _difference(row).low > 0.1 * before.cost.total.value
    assert row.leave_one_out is not None and row.leave_one_out.low > 0
    assert row.flops > before.flops and row.kernels > before.kernels


def test_a_pass_of_no_consequence_has_an_interval_around_zero(measured: Report) -> None:
    row = _row(measured, "swapped")
    assert not row.same_program and len(row.rewritten) == 2
    found = _difference(row)
    # 95 % intervals miss one time in twenty; twice as wide, practically never.
    width = found.high - found.low
    assert found.low - width <= 0 <= found.high + width
    assert abs(found.value) < 0.5 * _difference(_row(measured, "wasteful")).value


def test_a_pass_that_takes_work_away_shows_it(measured: Report) -> None:
    # How much time that brings depends on the machine; a slow pass above is slow on any.
    row, before = _row(measured, "cancel-reshapes"), _row(measured, "legalise")
    assert not row.same_program and row.leave_one_out is not None
    assert row.kernels < before.kernels and row.moved_bytes < before.moved_bytes


def test_rows_say_what_a_pass_did_to_numbers_and_sizes(measured: Report) -> None:
    first, folded = measured.ledger.rows[:2]
    assert (first.max_abs_error, first.snr_db, first.rewritten) == (0.0, None, ())
    assert folded.exactness == "exact" and len(folded.rewritten) == 2
    assert 0 < folded.max_abs_error < 1e-3 and 0 < folded.relative_error < 2e-5
    assert folded.snr_db is not None and folded.snr_db > 90
    assert folded.nodes < first.nodes and folded.flops < first.flops
    assert folded.moved_bytes < first.moved_bytes
    last = measured.ledger.rows[-1]
    assert 0 < last.arena_bytes <= first.arena_bytes
    assert last.bundle_bytes > 2 * (9 + 1) * 32 * 32 * 4


def test_only_what_kernels_need_is_required(measured: Report) -> None:
    required = {row.name: row.required for row in measured.ledger.rows if row.required}
    assert list(required) == ["legalise"]
    assert "operation(s) have no kernel of ours" in required["legalise"]
    alone = {row.name for row in measured.ledger.rows if row.leave_one_out is not None}
    assert alone == {row.name for row in measured.ledger.rows} - {CAPTURED, "legalise"}


def test_every_figure_names_where_it_is_from(measured: Report) -> None:
    assert list(measured.provenances) == ["local"]
    where = measured.provenances["local"]
    assert (where.device, where.target, where.threads, where.kind) == (
        "local",
        "host",
        1,
        "measured",
    )
    assert where.machine.endswith(resolve("host").cpu) and "torch" in where.versions
    for row in measured.ledger.rows:
        figures = [row.cost.total, row.difference, row.leave_one_out]
        assert {f.provenance for f in figures if f} == {"local"}
        assert {f.samples for f in figures if f} == {measured.ledger.rounds}


def test_the_ends_are_profiled(measured: Report) -> None:
    first, last = measured.profiles
    assert (first.stage, last.stage) == (CAPTURED, "fuse-epilogue")
    assert len(first.kernels) == measured.ledger.rows[0].kernels
    assert len(last.kernels) == measured.ledger.rows[-1].kernels
    assert set(last.peaks) == {"fma", "copy"} and last.peaks == first.peaks
    assert {row.cost.provenance for row in last.kernels} == {"local"}


def test_a_budget_has_room_for_the_fewest_rounds_alone() -> None:
    made = subject("fold-batchnorm")
    report = measure_ledger(made, resolve("host"), Local(), 1, budget=1e-3)
    assert report.ledger.rounds == 5 and len(report.profiles) == 2
    assert report.ledger.seconds > 0


def test_a_wrong_stage_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph_module: Any, *more: Any) -> Program:
        program = lower(graph_module, *more)
        if any(call.op == "affine" for call in program.calls):
            return program
        return replace(program, constants={k: v * 1.01 for k, v in program.constants.items()})

    monkeypatch.setattr(compiler, "lower", wrong)
    with pytest.raises(ParityError, match="stage fold-batchnorm: the bundle for host differs"):
        measure_ledger(subject("fold-batchnorm"), resolve("host"), Local(), 1, profiles=False)


def test_after_an_approximate_pass_stages_are_held_against_it() -> None:
    report = measure_ledger(
        subject(Rough(), "fold-batchnorm"), resolve("host"), Local(), 1, profiles=False
    )
    rough, folded = report.ledger.rows[1:3]
    assert rough.exactness == "approximate" and rough.relative_error > 1e-2
    assert folded.exactness == "exact" and folded.relative_error < 2e-5


def test_a_device_that_cannot_run_the_code_is_refused_before_the_work() -> None:
    made = subject("fold-batchnorm")
    with pytest.raises(DeviceError, match=r"qemu: qemu-aarch64 runs arm64 .*; choose another"):
        measure_ledger(made, resolve("x86_64-linux-gnu"), Qemu(), 1)


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_instructions_under_emulation_repeat_exactly() -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    made = subject("fold-batchnorm", "legalise", "cancel-reshapes")
    one, two = (
        measure_ledger(made, resolve("arm64"), Qemu(), 1, leave_one_out=True) for _ in range(2)
    )
    assert one.ledger.rounds == 1 and one.ledger.rows == two.ledger.rows
    where = one.provenances["qemu"]
    assert where.kind == "emulated" and "qemu" in where.versions
    assert where.machine.startswith("qemu-aarch64 as ")
    first, folded, _, cancelled = one.ledger.rows
    assert sum(part.value for part in first.cost.classes.values()) == first.cost.total.value
    for row in (folded, cancelled):
        found = _difference(row)
        assert found.unit == "instructions" and found.low == found.value == found.high != 0
        assert sum(part.value for part in row.class_differences.values()) == found.value
        assert row.leave_one_out is not None and row.leave_one_out.unit == "instructions"
    assert _difference(folded).value < 0
    assert sum(_difference(row).value for row in one.ledger.rows[1:]) == one.ledger.whole.value
