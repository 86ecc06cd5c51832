"""The gate, really measured: what costs or breaks goes, what is needed or harmless stays."""

import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch

from efcompile import compiler
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import InputError, ParityError, PassVerificationError
from efcompile.lowering.lower import lower
from efcompile.lowering.program import Program
from efcompile.models.randomize import randomize
from efcompile.passes.base import Pass
from efcompile.passes.pipeline import build_pipeline
from efcompile.report import gate
from efcompile.report.document import Row
from efcompile.report.gate import Criterion, Gate, Gated, criteria
from efcompile.report.ledger import measure_ledger
from efcompile.targets.resolve import resolve
from tests.report.blocks import CHANNELS, SIDE, Blocks, Rough, Swapped, Wasteful, Wrong
from tests.report.planted import Spoilt

BOTH: tuple[Criterion, ...] = ("latency", "numerics")


def _gated(
    *passes: Pass | str,
    judges: tuple[Criterion, ...] = BOTH,
    target: str = "host",
    device: Any = None,
) -> Gated:
    x = torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    budget = 6 if device is None else None
    # A convolution that reads planes multiplies no pairs: what cancelling its permute costs.
    for_target = replace(resolve(target), pairs=False)
    made = Gate(for_target, device or Local(), 1, judges, budget)
    model = randomize(Blocks().eval())
    return made.report(model, x, build_pipeline(passes), "blocks", profiles=False, command="test")


def _kept(found: Gated) -> dict[str, bool | None]:
    return {row.name: row.kept for row in found.report.ledger.rows}


def _row(found: Gated, name: str) -> Row:
    return next(row for row in found.report.ledger.rows if row.name == name)


def test_a_slow_pass_is_left_out_and_the_rest_stays() -> None:
    found = _gated("fold-batchnorm", Wasteful(), Swapped(), "cancel-reshapes")
    assert [entry.name for entry in found.left_out] == ["wasteful"]
    assert found.left_out[0].reason.startswith("+") and "with it (+" in found.left_out[0].reason
    assert _kept(found) == {
        "captured": None,
        "fold-batchnorm": True,
        "wasteful": False,
        "swapped": True,
        "legalise": True,
        "cancel-reshapes": True,
    }


def test_wrong_passes_are_left_out_and_named_and_the_rest_goes_on() -> None:
    found = _gated(Wrong(), Spoilt(), "fold-layer-scale", "cancel-reshapes")
    assert [entry.name for entry in found.left_out] == ["wrong", "fold-batchnorm"]
    for entry in found.left_out:
        assert f"pass {entry.name} changed the result by" in entry.reason
        row = _row(found, entry.name)
        assert row.kept is False and row.same_program and row.rewritten == ()
        (refusal,) = row.refused
        assert refusal.reason == f"gate: {entry.reason}"
    last = _row(found, "cancel-reshapes")
    assert last.kept and last.difference is not None and last.difference.high < 0


def test_without_that_judge_a_wrong_pass_is_an_error() -> None:
    with pytest.raises(PassVerificationError, match="pass wrong changed the result"):
        _gated(Wrong(), judges=("latency",))


def test_approximate_passes_were_asked_for() -> None:
    found = _gated(Rough(), "fold-batchnorm", judges=("numerics",))
    assert found.left_out == () and _kept(found)["rough"] is True


def test_a_pass_whose_program_is_wrong_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(graph_module: Any, *more: Any) -> Program:
        """As if there were no right kernel for additions that are turned round."""
        program = lower(graph_module, *more)
        order = {node: place for place, node in enumerate(graph_module.graph.nodes)}
        adds = [node for node in order if "binary" in str(node.target)]
        if any(order[node.args[0]] < order[node.args[1]] for node in adds):
            return program
        return replace(program, constants={k: v * 1.01 for k, v in program.constants.items()})

    monkeypatch.setattr(compiler, "lower", spoilt)
    found = _gated("fold-batchnorm", Swapped(), judges=("numerics",))
    assert [entry.name for entry in found.left_out] == ["swapped"]
    assert "stage swapped: the bundle for host differs" in found.left_out[0].reason
    with pytest.raises(ParityError, match="stage swapped"):
        _gated("fold-batchnorm", Swapped(), judges=("latency",))


def test_one_unlucky_measurement_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every pass looks slow in the ledger; the confirmation does not find it.
    def unlucky(*args: Any, **options: Any) -> Any:
        report = measure_ledger(*args, **options)
        rows = []
        for row in report.ledger.rows:
            if row.leave_one_out is not None:
                worse = row.leave_one_out.model_copy(update={"value": 2e9, "low": 1e9, "high": 3e9})
                row = row.model_copy(update={"leave_one_out": worse})
            rows.append(row)
        ledger = report.ledger.model_copy(update={"rows": tuple(rows)})
        return report.model_copy(update={"ledger": ledger})

    monkeypatch.setattr(gate, "measure_ledger", unlucky)
    found = _gated("fold-batchnorm", "fold-layer-scale", "cancel-reshapes", judges=("latency",))
    assert found.left_out == ()


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_under_emulation_instructions_decide() -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    passes = ("fold-batchnorm", Wasteful())
    found = _gated(*passes, target="arm64", device=Qemu())
    assert [entry.name for entry in found.left_out] == ["wasteful"]
    assert found.left_out[0].reason.endswith("instr with it")


@pytest.mark.parametrize(
    ("text", "names"),
    [("latency,numerics", BOTH), (" numerics , latency", BOTH), ("numerics", ("numerics",))],
)
def test_criteria(text: str, names: tuple[str, ...]) -> None:
    assert criteria(text) == names


@pytest.mark.parametrize(
    ("text", "words"), [("speed", "unknown gate 'speed': there are latency and"), (",", "--gate ")]
)
def test_unknown_criteria_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        criteria(text)
