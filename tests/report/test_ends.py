"""Profiles of the first and the last stage."""

import shutil
from pathlib import Path

import pytest

from efcompile.bundle.load import Bundle
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.report import ends
from efcompile.report.ends import profile_ends
from efcompile.report.machine import measure
from efcompile.report.profile import ROUNDS
from efcompile.report.stages import Stages
from efcompile.targets.resolve import resolve
from tests.report.blocks import subject


def _bundles(folder: Path, target: str, device: Local | Qemu) -> dict[str, Bundle]:
    made = subject("fold-batchnorm", "cancel-reshapes")
    stages = Stages(made, resolve(target), device, 1, folder)
    graphs = {"captured": made.graphs[0], "cancel-reshapes": made.graphs[-1]}
    return {name: stages.build(name, g, made.graphs[0]).bundle for name, g in graphs.items()}


def test_both_are_of_one_run(tmp_path: Path) -> None:
    heard: list[tuple[object, ...]] = []
    bundles = _bundles(tmp_path, "host", Local())
    first, last = profile_ends(
        bundles, Local(), 1, 60.0, "here", measure(1), lambda *words: heard.append(words)
    )
    assert (first.stage, last.stage) == ("captured", "cancel-reshapes")
    assert first.peaks == last.peaks and set(first.peaks) == {"fma", "copy"}
    assert {row.cost.provenance for row in (*first.kernels, *last.kernels)} == {"here"}
    assert heard == [
        ("profile", "captured", 1, 2),
        ("profile", "cancel-reshapes", 2, 2),
    ]


def test_rounds_fit_into_the_seconds(tmp_path: Path) -> None:
    (bundle, _) = _bundles(tmp_path, "host", Local()).values()
    assert ends._rounds(bundle, 1, 1e-9) == 4
    assert ends._rounds(bundle, 1, 1e3) == ROUNDS


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_counts_have_no_peaks(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    bundles = _bundles(tmp_path, "arm64", Qemu())
    for profile in profile_ends(bundles, Qemu(), 1, 60.0, "there", None):
        assert profile.peaks == {} and profile.whole.unit == "instructions"
        assert sum(row.cost.value for row in profile.kernels) <= profile.whole.value
