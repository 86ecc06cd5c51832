"""Every kernel's output, seen on this machine and under emulation."""

import shutil
from pathlib import Path

import pytest

from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError
from efcompile.passes.verification import difference, node_values, run_graph
from efcompile.report.observation import Rig, is_visible
from efcompile.targets.resolve import resolve
from tests.report.planted import Spoilt, unverified


def _agrees(rig: Rig, subject_graph: object, inputs: object) -> int:
    legal = rig.legal(subject_graph)  # type: ignore[arg-type]
    wanted = node_values(legal, inputs)  # type: ignore[arg-type]
    seen = rig.node_values(legal)
    for name, value in seen.items():
        assert difference([value], [wanted[name]]).relative < 1e-5, name
    visible = [node.name for node in legal.graph.nodes if is_visible(node)]
    assert list(seen) == visible
    return len(seen)


def test_the_output_of_every_call_is_seen(tmp_path: Path) -> None:
    subject = unverified()
    inputs = subject.captured.example_inputs
    rig = Rig(inputs, resolve("host"), Local(), 1, tmp_path)
    assert _agrees(rig, subject.graphs[-1], inputs) >= 5
    # The captured graph, legalised for it, has many more.
    assert _agrees(rig, subject.graphs[0], inputs) > 20


def test_wrong_stages_run_all_the_same_and_equal_ones_once(tmp_path: Path) -> None:
    subject = unverified(Spoilt(), "legalise")
    inputs = subject.captured.example_inputs
    rig = Rig(inputs, resolve("host"), Local(), 1, tmp_path)
    for graph in subject.graphs[1:]:
        assert difference(rig.outputs(graph), run_graph(graph, inputs)).relative < 1e-5
    assert len(list(tmp_path.iterdir())) == 1, "the stage before legalise has its program"
    wanted = run_graph(subject.graphs[0], inputs)
    assert difference(rig.outputs(subject.graphs[-1]), wanted).relative > 1e-4


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_under_emulation(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    subject = unverified("fold-batchnorm", "cancel-reshapes", "fuse-epilogue")
    inputs = subject.captured.example_inputs
    rig = Rig(inputs, resolve("arm64"), Qemu(), 1, tmp_path)
    assert _agrees(rig, subject.graphs[-1], inputs) >= 5


def test_a_device_that_cannot_run_the_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="local: code for aarch64-apple"):
        Rig((), resolve("iphone12"), Local(), 1, tmp_path)
