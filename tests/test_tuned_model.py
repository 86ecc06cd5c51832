"""`CompiledModel.tune`: the whole model before and after, and what is kept."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import efcompile
from efcompile import tuned_model
from efcompile.bundle.trial import TrialSettings
from efcompile.errors import BundleError, ParityError
from efcompile.kernels.knobs import flatten
from efcompile.kernels.tuned import Split, TargetClass, Winner, Winners
from efcompile.lowering.parts import signature
from efcompile.targets.resolve import resolve
from efcompile.tuning import tuner
from efcompile.tuning.tuner import Tuning
from tests.tuning.model import compiled, mixing, task


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(**given: Any) -> TrialSettings:
        return TrialSettings(seconds=0.002, least=3, warmup=1, **given)

    monkeypatch.setattr(tuned_model, "TrialSettings", settings)
    monkeypatch.setattr(tuned_model, "_SECONDS", 0.5)
    monkeypatch.setattr(tuner, "ROUNDS", 5)
    monkeypatch.setattr("efcompile.tuning.fusion._ROUNDS", 5)


def found(
    knobs: Mapping[str, int] | None = None, splits: bool = False, target: str = "host"
) -> Callable[..., Tuning]:
    """A search that ends with these winners for the MLP."""
    one = task("mlp", target)
    kernel, shape = one.key

    def winner(values: Mapping[str, int]) -> Winner:
        return Winner(
            kernel=kernel, shape=shape, knobs=dict(values), start=2.0, best=1.0, unit="ns",
            date="2026-01-01",
        )  # fmt: skip

    text = signature(one.call)
    assert text is not None
    winners = Winners(
        target=TargetClass.of(resolve(target)),
        device="local",
        kind="measured",
        threads=1,
        versions={},
        winners=() if knobs is None else (winner(knobs),),
        splits=(
            Split(op="mlp", signature=text, fused=2.0, apart=1.0, unit="ns", date="2026-01-01"),
        )
        if splits
        else (),
    )

    def tune(*args: Any, work_dir: Path, **more: Any) -> Tuning:
        return Tuning(winners, (), 1, False, 0.1, work_dir / "measured" / winners.target.name)

    return tune


def outputs(model: efcompile.CompiledModel) -> np.ndarray[Any, Any]:
    x = torch.randn(1, 8, 10, 10, generator=torch.Generator().manual_seed(3))
    result: np.ndarray[Any, Any] = model(x).numpy()
    return result


def test_a_real_run_returns_a_model_that_computes_the_same(tmp_path: Path) -> None:
    before = compiled()
    better = before.tune(trials=4, tasks=2, work_dir=tmp_path)
    assert np.abs(outputs(better) - outputs(before)).max() <= 1e-5 * np.abs(outputs(before)).max()
    improvement = better.improvement
    assert improvement is not None and before.improvement is None
    assert improvement.tuning.trials == 4
    assert improvement.error <= 1e-4
    assert improvement.before.unit == improvement.after.unit == "ns"
    low, high = improvement.interval
    assert low <= improvement.after.value - improvement.before.value <= high
    assert improvement.winners.exists() == improvement.kept
    if improvement.kept:
        again = efcompile.optimize(mixing(), threads=1, tuning_records=tmp_path)
        origins = {kernel.knobs for kernel in again.bundle.manifest.kernels}
        assert improvement.tuning.winners.winners == () or "records" in origins


def test_winners_are_kept_used_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = flatten(task("mlp").default) | {"rows": 20}
    monkeypatch.setattr(tuned_model, "tune", found(knobs))
    monkeypatch.setattr(tuned_model, "difference_interval", lambda after, before: (-2.0, -1.0))
    better = compiled().tune(trials=1, work_dir=tmp_path)
    assert better.improvement is not None and better.improvement.kept
    assert better.bundle.path != compiled().bundle.path
    assert Winners.load(better.improvement.winners).winners[0].knobs == knobs
    assert np.abs(outputs(better) - outputs(compiled())).max() <= 1e-5
    again = efcompile.optimize(mixing(), threads=1, tuning_records=tmp_path)
    library = {p.name: p.read_bytes() for p in again.bundle.path.glob("lib*.so")}
    assert library == {p.name: p.read_bytes() for p in better.bundle.path.glob("lib*.so")}


def test_a_whole_that_is_slower_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_model, "tune", found(flatten(task("mlp").default) | {"rows": 20}))
    monkeypatch.setattr(tuned_model, "difference_interval", lambda after, before: (1.0, 2.0))
    better = compiled().tune(trials=1, work_dir=tmp_path)
    assert better.improvement is not None and not better.improvement.kept
    assert better.bundle.path == compiled().bundle.path
    assert not better.improvement.winners.exists()


def test_without_winners_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_model, "tune", found())
    better = compiled().tune(trials=1, work_dir=tmp_path)
    assert better.improvement is not None and not better.improvement.kept
    assert better.improvement.before == better.improvement.after
    assert better.bundle.path == compiled().bundle.path


def test_winners_of_an_earlier_run_count_when_nothing_new_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = flatten(task("mlp").default) | {"rows": 20}
    earlier = found(knobs)(work_dir=tmp_path)
    earlier.winners.dump(earlier.folder / "winners.json")
    monkeypatch.setattr(tuned_model, "tune", found())
    monkeypatch.setattr(tuned_model, "difference_interval", lambda after, before: (-2.0, -1.0))
    better = compiled().tune(trials=1, work_dir=tmp_path)
    assert better.improvement is not None and better.improvement.kept
    assert better.bundle.path != compiled().bundle.path
    assert Winners.load(better.improvement.winners).winners[0].knobs == knobs


def test_a_fused_op_that_is_faster_apart_is_taken_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_model, "tune", found(splits=True))
    monkeypatch.setattr(tuned_model, "difference_interval", lambda after, before: (-2.0, -1.0))
    better = compiled().tune(trials=1, work_dir=tmp_path)
    names = [call.op for call in better.bundle.manifest.calls]
    assert "mlp" not in names and names.count("linear") >= 4
    assert better.history is not None and better.history.pipeline[-1].name == "split-fused"
    assert np.abs(outputs(better) - outputs(compiled())).max() <= 1e-5


def test_what_was_split_before_is_decided_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_model, "difference_interval", lambda after, before: (-2.0, -1.0))
    monkeypatch.setattr(tuned_model, "tune", found(splits=True))
    apart = compiled().tune(trials=1, work_dir=tmp_path / "one")
    again = apart.tune(trials=1, work_dir=tmp_path / "one")
    assert again.history is not None
    assert [step.name for step in again.history.pipeline].count("split-fused") == 1

    tuning = found(flatten(task("mlp").default) | {"rows": 20}, splits=True)(work_dir=tmp_path)
    (split,) = tuning.winners.splits
    slower = tuning.winners.model_copy(
        update={"splits": (split.model_copy(update={"apart": 3.0}),)}
    )
    monkeypatch.setattr(tuned_model, "tune", lambda *_, **__: replace(tuning, winners=slower))
    fused = apart.tune(trials=1, work_dir=tmp_path)
    assert [call.op for call in fused.bundle.manifest.calls].count("mlp") == 2
    assert np.abs(outputs(fused) - outputs(compiled())).max() <= 1e-5


def test_a_wrong_model_is_an_error_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_model, "tune", found(flatten(task("mlp").default) | {"rows": 20}))
    monkeypatch.setattr("efcompile.bundle.sample.relative_error", lambda got, wanted: 0.5)
    with pytest.raises(ParityError, match=r"tuned, differs on local .* 5.00e-01"):
        compiled().tune(trials=1, work_dir=tmp_path)
    assert list(tmp_path.rglob("winners.json")) == []


def test_a_loaded_bundle_says_what_to_do(tmp_path: Path) -> None:
    loaded = efcompile.load(compiled().save(tmp_path))
    with pytest.raises(BundleError, match=r"efcompile tune"):
        loaded.tune(trials=1, work_dir=tmp_path)
