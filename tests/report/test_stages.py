"""Stages as bundles: built once, checked, described."""

from pathlib import Path

import pytest

from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError, ParityError
from efcompile.report.stages import Stages, check_runs
from efcompile.targets.resolve import resolve
from tests.report.blocks import Rough, subject


def _stages(folder: Path, *passes: str) -> Stages:
    return Stages(subject(*passes), resolve("host"), Local(), 1, folder)


def test_equal_programs_are_built_once(tmp_path: Path) -> None:
    stages = _stages(tmp_path, "fold-batchnorm", "legalise")
    captured, folded, legal = stages.subject.graphs
    one = stages.build("fold-batchnorm", folded, captured)
    # Legalised before it is lowered, the stage before legalise has its program.
    assert stages.build("legalise", legal, captured) is one
    assert stages.build("again", folded, captured) is one
    other = stages.build("captured", captured, captured)
    assert stages.distinct == (one, other)
    assert other.calls > one.calls and other.flops > one.flops


def test_what_ships_is_the_library_and_the_weights(tmp_path: Path) -> None:
    stages = _stages(tmp_path, "fold-batchnorm")
    built = stages.build("captured", stages.subject.graphs[0], stages.subject.graphs[0])
    path = built.bundle.path
    sizes = [(path / name).stat().st_size for name in ("libblocks.so", "weights.bin")]
    assert built.bundle_bytes == sum(sizes)
    assert built.arena_bytes == built.bundle.manifest.sizes.arena
    assert built.leftovers == ()


def test_labels_stay_apart(tmp_path: Path) -> None:
    stages = _stages(tmp_path, "fold-batchnorm", "cancel-reshapes")
    graphs = stages.subject.graphs
    labels = [stages.build("twice", graph, graphs[0]).label for graph in graphs]
    assert labels == ["twice", "twice #2", "twice #2", "twice #3"]


def test_what_differs_from_its_judge_is_not_measured(tmp_path: Path) -> None:
    made = subject("fold-batchnorm", Rough())
    stages = Stages(made, resolve("host"), Local(), 1, tmp_path)
    stages.build("rough", made.graphs[2], made.judge(2))
    with pytest.raises(ParityError, match=r"blocks, stage folded: .* on local .* not measured"):
        stages.build("folded", made.graphs[1], made.judge(2))
    assert [built.label for built in stages.distinct] == ["rough"]


def test_a_device_must_be_there_and_run_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    check_runs(Local(), resolve("host"))
    with pytest.raises(DeviceError, match=r"local: code for .* choose another device or target"):
        check_runs(Local(), resolve("iphone12"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(DeviceError, match="apt-get install qemu-user"):
        check_runs(Qemu(), resolve("arm64"))
