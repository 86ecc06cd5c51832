"""`optimize`, `load`, `CompiledModel`: what they compute, keep, and refuse."""

import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import efcompile
from efcompile import CompiledModel
from efcompile.bundle import toolchain
from efcompile.bundle.sample import NAME as SAMPLE
from efcompile.errors import (
    BundleError,
    CaptureError,
    DeviceError,
    EfcompileError,
    InputError,
    TargetError,
    ToolchainError,
)
from efcompile.models.randomize import randomize
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.legalise import Legalise
from efcompile.passes.manager import Stage
from efcompile.targets.host import detect_host
from tests.small import Branching, Named, Small, image, small

FILES = ("manifest.json", "small.h", "weights.bin", "libsmall.so", "libsmall.a", "bench", SAMPLE)


@pytest.fixture(scope="module")
def compiled() -> CompiledModel:
    """The small model for this machine, at batch 2."""
    return efcompile.optimize(small(), image(batch=2), threads=2)


@pytest.fixture(scope="module")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> CompiledModel:
    """The same for arm64; skips where zig is not installed."""
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    folder = tmp_path_factory.mktemp("arm64")
    return efcompile.optimize(small(), image(), target="arm64", out=folder)


def _eager(x: Tensor) -> Tensor:
    with torch.no_grad():
        y: Tensor = small()(x)
    return y


def _close(got: Tensor, wanted: Tensor) -> bool:
    return bool((got - wanted).abs().max() < 1e-4 * wanted.abs().max())


def test_tensors_give_tensors_and_arrays_arrays(compiled: CompiledModel) -> None:
    x = image(batch=2, seed=3)
    y = compiled(x)
    assert isinstance(y, Tensor) and _close(y, _eager(x))
    z = compiled(x.numpy())
    assert isinstance(z, np.ndarray) and np.array_equal(z, y.numpy())


def test_any_strides_fit(compiled: CompiledModel) -> None:
    x = image(batch=2, seed=4)
    assert torch.equal(compiled(x.to(memory_format=torch.channels_last)), compiled(x))


def test_the_structure_of_the_module_comes_back() -> None:
    model = randomize(Named().eval())
    y = efcompile.optimize(model, image())(image())
    with torch.no_grad():
        wanted = model(image())
    assert list(y) == ["logits", "more"] and isinstance(y["more"], tuple)
    assert _close(y["logits"], wanted["logits"]) and _close(y["more"][0], wanted["more"][0])


def test_history_tells_what_was_done(compiled: CompiledModel) -> None:
    assert compiled.history is not None
    assert compiled.history.parity is not None and compiled.history.parity < 1e-4
    by_name = {stage.name: stage.record for stage in compiled.history.stages}
    assert len(by_name["fold-batchnorm"].outcome.rewritten) == 1
    assert compiled.bundle.manifest.leftovers == ()


def test_saved_and_loaded_it_computes_the_same(compiled: CompiledModel, tmp_path: Path) -> None:
    path = compiled.save(tmp_path / "new")
    assert path == tmp_path / "new" / "small.host.fp32.b2x17"
    assert sorted(FILES) == sorted(file.name for file in path.iterdir())
    x = image(batch=2, seed=5)
    loaded = efcompile.load(path, threads=1)
    assert loaded.history is None
    assert torch.equal(loaded(x), compiled(x))


def test_passes_can_be_chosen_and_watched() -> None:
    seen: list[Stage] = []
    passes = (FoldBatchnorm(), "fold-layer-scale", Legalise())
    compiled = efcompile.optimize(
        small(), passes=passes, disable=["fold-layer-scale"], hook=seen.append
    )
    assert [stage.name for stage in seen] == ["fold-batchnorm", "legalise"]
    assert compiled.history is not None and list(compiled.history.stages) == seen
    assert _close(compiled(image()), _eager(image()))


def test_a_model_in_training_mode_is_left_so_and_noted() -> None:
    model = randomize(Small())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    compiled = efcompile.optimize(model, image())
    assert compiled.history is not None
    assert any("training mode" in note for note in compiled.history.notes)
    assert model.training and model.stem.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert _close(compiled(image()), model.eval()(image()).detach())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((torch.zeros(1, 3, 17, 17),), r"of shape \[2, 3, 17, 17\], not float32 of shape \[1, 3"),
        ((torch.zeros(2, 3, 17, 18),), r"not float32 of shape \[2, 3, 17, 18\]"),
        ((torch.zeros(2, 3, 17, 17).double(),), "must be float32 .* not float64"),
        ((torch.zeros(2, 3, 17, 17).int(),), "must be float32 .* not int32"),
        ((np.zeros((2, 3, 17, 17), np.uint8),), "must be float32 .* not uint8"),
        ((), "takes 1 inputs, not 0"),
        ((torch.zeros(2, 3, 17, 17),) * 2, "takes 1 inputs, not 2"),
        (([[0.0]],), "input 0 is a list: pass a torch tensor or a numpy array"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    compiled: CompiledModel, inputs: tuple[object, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        compiled(*inputs)
    assert _close(compiled(image(batch=2)), _eager(image(batch=2)))


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (torch.zeros(1, 3, 17, 17).int(), InputError, "has dtype int32: inputs are float32"),
        (torch.zeros(0, 3, 17, 17), InputError, "has no elements"),
        ((), InputError, "example_inputs is empty"),
        (torch.zeros(1, 4, 17, 17), CaptureError, "does not run on the example input .1, 4, 17"),
    ],
)
def test_example_inputs_that_do_not_fit_are_refused(
    inputs: Tensor | tuple[Tensor, ...], error: type[EfcompileError], words: str
) -> None:
    with pytest.raises(error, match=words):
        efcompile.optimize(small(), inputs)


def test_a_model_that_states_no_size_needs_example_inputs() -> None:
    with pytest.raises(CaptureError, match="pass example_inputs"):
        efcompile.optimize(torch.nn.Conv2d(3, 4, 3))


def test_a_data_dependent_model_is_refused_with_the_place() -> None:
    with pytest.raises(CaptureError, match=r"small\.py:\d+.*x\.sum\(\)"):
        efcompile.optimize(Branching(), image())


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean efficientformer_l"):
        efcompile.optimize("efficientformer_l2")
    with pytest.raises(TargetError, match="did you mean `raspberrypi5`"):
        efcompile.optimize(small(), target="raspberry5")
    with pytest.raises(TargetError, match="did you mean `cortex-a55`"):
        efcompile.optimize(small(), target="arm64", cpu="cortexa55")
    with pytest.raises(TargetError, match="did you mean `dotprod`"):
        efcompile.optimize(small(), target="arm64", features=("neon", "dotproduct"))
    with pytest.raises(InputError, match="did you mean 'fuse-ffn'"):
        efcompile.optimize(small(), disable=["fuse_ffn"])
    with pytest.raises(InputError, match="did you mean 'legalise'"):
        efcompile.optimize(small(), passes=["legalize"])


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_that_cannot_be_is_refused(
    compiled: CompiledModel, threads: int
) -> None:
    with pytest.raises(InputError, match=f"threads must be at least 1, not {threads}"):
        efcompile.load(compiled.bundle.path, threads=threads)
    with pytest.raises(InputError, match="threads must be at least 1"):
        compiled.run(image(batch=2), threads=threads)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_noticed_in_every_file(
    compiled: CompiledModel, tmp_path: Path, name: str
) -> None:
    copy = Path(shutil.copytree(compiled.bundle.path, tmp_path / "copy"))
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 3] ^= 4
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        efcompile.load(copy)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*manifest\.json"):
        efcompile.load(tmp_path)


@pytest.mark.skipif(platform.machine() == "aarch64", reason="arm64 code runs on this machine")
def test_a_bundle_for_another_architecture_names_the_emulator(arm64: CompiledModel) -> None:
    with pytest.raises(BundleError, match=r'compiled\.run\(x, device="qemu"\)'):
        arm64(image())
    assert arm64.history is not None and arm64.history.parity is None


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_emulated_it_computes_the_same(arm64: CompiledModel) -> None:
    assert _close(arm64.run(image(seed=6), device="qemu"), _eager(image(seed=6)))


def test_a_missing_emulator_is_named_with_its_install_line(
    arm64: CompiledModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DeviceError, match="apt-get install qemu-user"):
        arm64.run(image(), device="qemu")


def test_a_missing_cross_linker_is_named_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(toolchain, "_zig_home", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolchainError, match=r"pip install 'efcompile\[cross\]'"):
        efcompile.optimize(small(), target="iphone12")
    with pytest.raises(ToolchainError, match="apt-get install gcc-aarch64-linux-gnu"):
        efcompile.optimize(small(), target="arm64")


def test_an_unknown_device_suggests_the_nearest(compiled: CompiledModel) -> None:
    with pytest.raises(DeviceError, match="did you mean `local`"):
        compiled.run(image(batch=2), device="locl")


def test_a_disk_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match=r"cannot write .*file"):
        efcompile.optimize(small(), out=tmp_path / "file")


def test_a_report_of_this_process_passes(compiled: CompiledModel) -> None:
    report = compiled.report(threads=1, budget=2)
    assert compiled.history is not None
    names = [row.name for row in report.ledger.rows]
    assert names == ["captured", *(stage.name for stage in compiled.history.stages)]
    assert report.model == "small" and report.input_shapes == ((2, 3, 17, 17),)
    differences = [row.difference for row in report.ledger.rows[1:]]
    assert sum(d.value for d in differences if d) == report.ledger.whole.value
    assert report.command == "compiled.report(device='local', threads=1)"
    assert report.provenances["local"].threads == 1 and len(report.profiles) == 2


def test_a_reused_result_has_its_own_history(compiled: CompiledModel) -> None:
    again = efcompile.optimize(small(), image(), threads=1)
    same = efcompile.optimize(small(), image(), threads=1)
    assert same.history is not None and same.history.reused
    assert len(same.report(profiles=False).ledger.rows) == len(
        again.report(profiles=False).ledger.rows
    )


def test_a_loaded_bundle_has_nothing_to_report(compiled: CompiledModel) -> None:
    loaded = efcompile.load(compiled.bundle.path)
    with pytest.raises(BundleError, match=r"call report\(\) on what `efcompile.optimize` returned"):
        loaded.report()


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_under_emulation_a_report_counts_one_thread(arm64: CompiledModel) -> None:
    report = arm64.report(device="qemu", profiles=False)
    assert report.provenances["qemu"].threads == 1
    assert report.ledger.whole.unit == "instructions" and report.ledger.whole.value < 0
    with pytest.raises(DeviceError, match="does not run on"):
        arm64.report()


def test_arrays_run_without_importing_torch(tmp_path: Path) -> None:
    compiled = efcompile.optimize(nn.Conv2d(3, 4, 3).eval(), torch.randn(1, 3, 8, 8), out=tmp_path)
    code = (
        "import sys, numpy, efcompile; "
        f"y = efcompile.load({str(compiled.bundle.path)!r})(numpy.ones((1, 3, 8, 8), 'float32')); "
        "print(y.shape, 'torch' in sys.modules, 'tvm' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split("\n")[0] == "(1, 4, 6, 6) False False"


class Wide(nn.Module):
    """An MLP large enough to be made in seven products for eight."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(384, 1536), nn.Linear(1536, 384)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.down(nn.functional.gelu(self.up(x)))
        return result


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86-64 takes more room for speed")
def test_compact_weights_have_the_models_size(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = Wide().eval(), torch.randn(1, 192, 384)
    # A host that gains by it, which those with pairs, Intel's and those with a small L2 do not.
    host = replace(detect_host(), strassen=True, pairs=False, l2_bytes=1 << 20)
    monkeypatch.setattr("efcompile.targets.resolve.detect_host", lambda: host)
    fast, compact = (
        efcompile.optimize(model, x, compact=compact, cpu="x86-64-v3") for compact in (False, True)
    )
    size = [c.bundle.manifest.files["weights.bin"].bytes for c in (fast, compact)]
    plain = 4 * (2 * 384 * 1536 + 384 + 1536)
    assert plain <= size[1] < 1.01 * plain and size[0] > 1.6 * plain
    for compiled in (fast, compact):
        assert _close(compiled(x), model(x).detach())
