"""Whole results: taken again when nothing changed, never when anything did."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import efcompile
from efcompile import CompiledModel, building
from efcompile.capture import capture
from efcompile.errors import InputError
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.legalise import Legalise
from efcompile.passes.manager import Stage, run_pipeline
from efcompile.passes.swap_patch_embed import SwapPatchEmbed
from efcompile.reuse import Result, Results, key_of
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target
from tests.small import Named, Small, image, small


def _optimize(model: nn.Module, **options: Any) -> CompiledModel:
    return efcompile.optimize(model, options.pop("x", image()), **options)


def _reused(compiled: CompiledModel) -> bool:
    assert compiled.history is not None
    return compiled.history.reused


def _right(compiled: CompiledModel, model: nn.Module, x: Tensor | None = None) -> bool:
    x = image(seed=9) if x is None else x
    with torch.no_grad():
        wanted: Tensor = model(x)
    got: Tensor = compiled(x)
    return bool((got - wanted).abs().max() < 1e-4 * wanted.abs().max())


def test_the_same_again_is_the_same_bundle_with_its_history() -> None:
    model = small()
    seen: list[Stage] = []
    first = _optimize(model)
    second = _optimize(model, hook=seen.append)
    third = _optimize(small())  # equal, though another object
    assert [_reused(c) for c in (first, second, third)] == [False, True, True]
    assert first.history is not None and second.history is not None
    assert second.bundle == first.bundle == third.bundle
    assert second.history.stages == first.history.stages == tuple(seen)
    assert second.history.parity == first.history.parity is not None
    assert {"capture", "passes", "verification", "kernels", "link"} <= set(first.history.seconds)
    assert not {"passes", "kernels", "link"} & set(second.history.seconds)


def test_the_bundle_lasts_as_long_as_any_of_them() -> None:
    model = small()
    first = _optimize(model)
    second = _optimize(model)
    del first
    efcompile.reuse.RESULTS.clear()
    assert _right(second, model)


def test_a_model_by_name_is_the_same_every_time() -> None:
    before = torch.random.get_rng_state()
    first = efcompile.optimize("tests.small:Small", threads=1)
    torch.rand(3)
    second = efcompile.optimize("tests.small:Small", threads=1)
    torch.random.set_rng_state(before)
    assert [_reused(c) for c in (first, second)] == [False, True]


def test_it_can_be_turned_off() -> None:
    model = small()
    assert not _reused(_optimize(model, reuse=False))
    assert not _reused(_optimize(model)), "and then nothing is kept either"
    assert not _reused(_optimize(model, reuse=False))


def _in_place(model: Small) -> None:
    with torch.no_grad():
        model.mix.weight.mul_(-2)


def _buffer(model: Small) -> None:
    assert model.norm.running_mean is not None
    model.norm.running_mean.add_(3)


CHANGES: dict[str, Callable[[Small], Any]] = {
    "weights in place": _in_place,
    "a buffer": _buffer,
    "an attribute": lambda model: setattr(model.norm, "eps", 0.5),
    "a module": lambda model: setattr(model, "mix", nn.Conv2d(12, 12, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_changed_is_compiled_again(change: str) -> None:
    model = small()
    first = _optimize(model)
    before = first(image(seed=9))
    CHANGES[change](model)
    second = _optimize(model)
    assert not _reused(second)
    assert _right(second, model)
    assert not torch.allclose(second(image(seed=9)), before, rtol=1e-3), "it matters"
    assert torch.equal(first(image(seed=9)), before), "and the first stays what it was"


def test_a_training_flag_is_noted_and_does_not_meet_the_other_result() -> None:
    model = small()
    _optimize(model)
    compiled = _optimize(model.train())
    assert not _reused(compiled)
    assert compiled.history is not None and "training mode" in compiled.history.notes[0]
    assert _right(compiled, model.eval())


OPTIONS: dict[str, dict[str, Any]] = {
    "batch": {"x": image(batch=2)},
    "example": {"x": image(seed=1)},
    "name": {"name": "other"},
    "passes": {"passes": ["fold-batchnorm", "legalise"]},
    "disable": {"disable": ["fold-batchnorm"]},
    "threads": {"threads": 3},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_another_option_is_another_result(option: str) -> None:
    model = small()
    _optimize(model, threads=1)
    compiled = _optimize(model, **({"threads": 1} | OPTIONS[option]))
    assert not _reused(compiled)


def test_compact_is_another_result_where_the_target_gains_by_larger_weights() -> None:
    model = small()
    for target, gains in [("x86_64-linux-gnu", True), ("arm64-linux-gnu", False)]:
        first, second = (_optimize(model, target=target, compact=c) for c in (False, True))
        assert not _reused(first) and _reused(second) != gains


def test_another_compiler_is_another_result(monkeypatch: pytest.MonkeyPatch) -> None:
    _optimize(small())
    monkeypatch.setenv("EFCOMPILE_CC", "cc -DOTHER")
    assert not _reused(_optimize(small()))
    assert _reused(_optimize(small()))


def test_a_folder_to_write_to_gets_a_copy_each_time(tmp_path: Path) -> None:
    model = small()
    _optimize(model, out=tmp_path / "a")
    for file in (tmp_path / "a").rglob("*.so"):
        file.write_bytes(b"")  # the user's copy is the user's
    second = _optimize(model, out=tmp_path / "b")
    assert _reused(second)
    assert second.bundle.path.parent == tmp_path / "b"
    assert _right(second, model)


def test_a_kept_bundle_whose_files_went_is_compiled_again() -> None:
    model = small()
    first = _optimize(model)
    (first.bundle.path / "weights.bin").unlink()
    second = _optimize(model)
    assert not _reused(second)
    assert _right(second, model)


def test_a_failed_compilation_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise InputError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(building, "_parity", fails)
        with pytest.raises(InputError, match="planted"):
            _optimize(small())
    assert not _reused(_optimize(small()))


def test_the_structure_is_part_of_it() -> None:
    torch.manual_seed(0)
    named = Named().eval()
    torch.manual_seed(0)
    plain = Small().eval()
    _optimize(plain, name="same")
    compiled = _optimize(named, name="same")
    assert not _reused(compiled)
    assert set(compiled(image())) == {"logits", "more"}


HOST = resolve("host")


def _key(*passes: Any, target: Target = HOST) -> object:
    captured = capture(small(), image())
    return key_of(captured, "small", target, passes, 1)


def test_every_field_of_the_target_counts() -> None:
    others = [replace(HOST, l2_bytes=1), replace(HOST, features=()), replace(HOST, name="other")]
    keys = {_key(target=target) for target in (HOST, HOST, *others)}
    assert len(keys) == 4


def test_options_of_passes_are_compared_by_what_they_are() -> None:
    def swap(calibration: Tensor, steps: int = 5) -> SwapPatchEmbed:
        return SwapPatchEmbed("approximate", calibration, steps)

    images = torch.rand(2, 3, 17, 17)
    assert _key(swap(images)) == _key(swap(images.clone()))
    assert _key(swap(images)) != _key(swap(images.clone().index_fill_(0, torch.tensor(1), 0.5)))
    assert _key(swap(images)) != _key(swap(images.reshape(1, 3, 34, 17)))
    assert _key(swap(images)) != _key(swap(images, 6))
    assert _key(swap(images)) != _key(SwapPatchEmbed())
    assert _key(FoldBatchnorm(), Legalise()) != _key(Legalise(), FoldBatchnorm())


def test_a_pass_of_the_users_own_is_never_taken_for_known() -> None:
    @dataclass(frozen=True)
    class Own(FoldBatchnorm):
        name: ClassVar[str] = "own"

    assert _key(FoldBatchnorm()) is not None
    assert _key(Own()) is None
    for _ in range(2):
        assert not _reused(_optimize(small(), passes=[Own(), Legalise()]))


@pytest.fixture
def stages() -> tuple[Stage, ...]:
    captured = capture(small(), image())
    return tuple(run_pipeline(captured.graph_module, captured.example_inputs, [Legalise()] * 2))


def _result(stages: tuple[Stage, ...], tmp_path: Path) -> Result:
    return Result(tempfile.TemporaryDirectory(), tmp_path, stages, None)


def test_shared_tensors_are_counted_once(stages: tuple[Stage, ...], tmp_path: Path) -> None:
    one = _result(stages[:1], tmp_path).bytes
    weights = sum(p.nbytes for p in small().parameters())
    assert weights <= one < 2 * weights + 4096
    assert _result(stages, tmp_path).bytes == one
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    assert _result(stages, tmp_path).bytes == one + 1000


def test_the_results_used_last_stay_within_the_limit(
    stages: tuple[Stage, ...], tmp_path: Path
) -> None:
    size = _result(stages, tmp_path).bytes
    results = Results(limit_bytes=2 * size)
    for key in ("a", "b"):
        results.put(key, _result(stages, tmp_path))
    assert results.get("a") is not None
    results.put("c", _result(stages, tmp_path))
    assert [results.get(key) is not None for key in ("a", "b", "c")] == [True, False, True]
    small_one = Results(limit_bytes=size - 1)
    small_one.put("a", _result(stages, tmp_path))
    assert small_one.get("a") is None
    results.put(None, _result(stages, tmp_path))
    assert results.get(None) is None
