"""Tuning records in a compiled model: used, checked, kept in the bundle, and part of reuse."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import efcompile
from efcompile import CompiledModel
from efcompile.errors import InputError, TuningError
from efcompile.kernels import knob_source
from efcompile.kernels.tuned import read_model
from efcompile.kernels.tuning_records import ATTACHMENT, Attachment
from efcompile.passes.pipeline import PIPELINE
from efcompile.targets.resolve import resolve
from tests.tuned_blocks import Tokens, found_for, keep, rows, tokens

HOST = resolve("host")


@pytest.fixture(autouse=True)
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever ships for this machine must not decide the tests."""
    monkeypatch.setattr(knob_source, "FOLDER", tmp_path)
    knob_source.shipped_winners.cache_clear()
    yield
    knob_source.shipped_winners.cache_clear()


def _origins(compiled: CompiledModel) -> dict[str, int]:
    return dict(Counter(kernel.knobs for kernel in compiled.bundle.manifest.kernels))


def _right(compiled: CompiledModel, model: Tokens) -> bool:
    with torch.no_grad():
        wanted: torch.Tensor = model(rows())
    return bool((compiled(rows()) - wanted).abs().max() < 1e-5 * wanted.abs().max())


def test_records_give_kernels_their_knobs_and_come_with_the_bundle(tmp_path: Path) -> None:
    model = tokens()
    plain = efcompile.optimize(model, rows())
    assert _origins(plain) == {"analytic": 2}
    assert ATTACHMENT not in plain.bundle.manifest.files
    found = found_for(plain)
    folder = keep(found, tmp_path / "work", HOST)

    tuned = efcompile.optimize(model, rows(), tuning_records=folder)
    assert tuned.history is not None and tuned.history.notes == ()
    assert not tuned.history.reused and tuned.history.parity is not None
    assert _origins(tuned) == {"records": 1, "analytic": 1} and _right(tuned, model)
    assert {k.symbol for k in tuned.bundle.manifest.kernels if k.knobs == "analytic"} < {
        k.symbol for k in plain.bundle.manifest.kernels
    }
    saved = efcompile.load(tuned.save(tmp_path / "saved"))
    assert ATTACHMENT in saved.bundle.manifest.files
    assert read_model(Attachment, saved.bundle.path / ATTACHMENT).used == (found,)

    again = efcompile.optimize(model, rows(), tuning_records=saved.bundle.path)
    assert again.history is not None and again.history.reused
    untuned = efcompile.optimize(model, rows(), tuned=False)
    assert _origins(untuned) == {"analytic": 2}
    keep(found_for(plain, apart=1.0), tmp_path / "work", HOST)
    changed = efcompile.optimize(model, rows(), tuning_records=folder)
    assert changed.history is not None and not changed.history.reused


def test_shipped_winners_are_used_unless_told_otherwise(tmp_path: Path) -> None:
    model = tokens()
    found = found_for(efcompile.optimize(model, rows(), tuned=False))
    found.dump(tmp_path / f"{found.target.name}.json")
    knob_source.shipped_winners.cache_clear()
    compiled = efcompile.optimize(model, rows())
    assert _origins(compiled) == {"shipped": 1, "analytic": 1} and _right(compiled, model)
    assert _origins(efcompile.optimize(model, rows(), tuned=False)) == {"analytic": 2}


@pytest.mark.parametrize(("apart", "kernels"), [(1.0, 3), (3.0, 2)])
def test_fused_ops_are_split_where_that_was_faster(
    tmp_path: Path, apart: float, kernels: int
) -> None:
    model = tokens()
    found = found_for(efcompile.optimize(model, rows(), tuned=False), apart=apart)
    folder = keep(found.model_copy(update={"winners": ()}), tmp_path / "work", HOST)
    compiled = efcompile.optimize(model, rows(), tuning_records=folder)
    assert compiled.history is not None and _right(compiled, model)
    split = kernels == 3
    names = [step.name for step in compiled.history.pipeline]
    assert names == [*(p.name for p in PIPELINE), *(["split-fused"] if split else [])]
    assert len(compiled.bundle.manifest.kernels) == kernels
    assert (ATTACHMENT in compiled.bundle.manifest.files) == split
    if split:
        (used,) = read_model(Attachment, compiled.bundle.path / ATTACHMENT).used
        assert used.splits == found.splits
        kept = efcompile.optimize(model, rows(), tuning_records=folder, disable=["split-fused"])
        assert len(kept.bundle.manifest.kernels) == 2


def test_related_records_are_noted_and_foreign_ones_refused(tmp_path: Path) -> None:
    arm = efcompile.optimize(tokens(), rows(), target="arm64", tuned=False)
    folder = keep(found_for(arm), tmp_path / "work", resolve("arm64"))
    compiled = efcompile.optimize(tokens(), rows(), target="cortex-x1", tuning_records=folder)
    assert compiled.history is not None and _origins(compiled) == {"analytic": 2}
    (note,) = compiled.history.notes
    assert "none were used" in note and "aarch64-cortex-a76" in note
    with pytest.raises(TuningError, match="no measured tuning records for x86_64"):
        efcompile.optimize(tokens(), rows(), target="x86_64-linux-gnu", tuning_records=folder)


def test_contradictions_are_told_before_the_work() -> None:
    with pytest.raises(InputError, match="used and left aside"):
        efcompile.optimize(tokens(), rows(), tuning_records="somewhere", tuned=False)
