"""The bisection finds what was planted: in graphs, in kernels, on this machine and emulated."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.lowering.lower import lower
from efcompile.lowering.program import Program
from efcompile.report import observation
from efcompile.report.bisect import Culprit, bisect
from efcompile.report.observation import Rig
from efcompile.report.subject import Subject
from efcompile.targets.resolve import resolve
from tests.report.blocks import Rough
from tests.report.planted import Spoilt, spoilt_pipeline, unverified

TOLERANCE = 1e-4


def _rig(subject: Subject, folder: Path) -> Rig:
    return Rig(subject.captured.example_inputs, resolve("host"), Local(), 1, folder)


def _is_the_plant(found: Culprit | None) -> None:
    assert found is not None
    assert (found.where, found.stage) == ("graph", "fold-batchnorm")
    assert found.node.startswith("conv2d") and found.op == "aten.conv2d.default"
    assert found.sources == ("body.1.conv", "body.1.norm")
    assert found.error > TOLERANCE and found.node_error > TOLERANCE
    # The folded weight and bias, and no constant that was there before.
    assert len(found.reads) == 2 and "weight" in found.reads[0]


def test_a_planted_weight_is_named_on_this_machine(tmp_path: Path) -> None:
    subject = unverified(*spoilt_pipeline())
    heard: list[tuple[Any, ...]] = []
    found = bisect(subject, _rig(subject, tmp_path), TOLERANCE, lambda *w: heard.append(w))
    _is_the_plant(found.graph)
    _is_the_plant(found.compiled)
    # A bisection: not every stage was run.
    distinct = sum(bool(stage.record.outcome.rewritten) for stage in subject.stages)
    assert found.compiled_runs == len(heard) <= 1 + distinct.bit_length() < distinct
    assert {words[0] for words in heard} == {"build"}


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user")
def test_a_planted_weight_is_named_under_emulation(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install 'efcompile[cross]'")
    subject = unverified(Spoilt(), "fold-layer-scale", "cancel-reshapes", "fuse-epilogue")
    rig = Rig(subject.captured.example_inputs, resolve("arm64"), Qemu(), 1, tmp_path)
    found = bisect(subject, rig, TOLERANCE)
    _is_the_plant(found.compiled)


def test_a_small_fault_is_named_where_it_is_and_not_where_it_has_grown() -> None:
    # Further in, other nodes pass the tolerance by more than the one that is at fault.
    subject = unverified(Spoilt(module="body.0.conv", by=0.02), "cancel-reshapes")
    found = bisect(subject, None, 1e-5).graph
    assert found is not None and found.sources == ("body.0.conv", "body.0.norm")


def test_a_wrong_kernel_is_told_from_a_wrong_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(graph_module: Any, *more: Any) -> Program:
        """As if, where no batch norm is left, the kernel of one convolution had it wrong."""
        program = lower(graph_module, *more)
        if any(call.op == "affine" for call in program.calls):
            return program
        calls = [call for call in program.calls if "body.1.mix" in call.sources]
        name = next(a for call in calls for a in call.args if a in program.constants)
        changed = {**program.constants, name: program.constants[name] * 1.1}
        return replace(program, constants=changed)

    monkeypatch.setattr(observation, "lower", wrong)
    subject = unverified("fold-batchnorm", "cancel-reshapes", "fuse-epilogue")
    found = bisect(subject, _rig(subject, tmp_path), TOLERANCE)
    assert found.graph is None and found.compiled is not None
    assert (found.compiled.where, found.compiled.stage) == ("kernel", "fold-batchnorm")
    assert found.compiled.sources == ("body.1.mix",)


def test_a_right_pipeline_has_no_culprit(tmp_path: Path) -> None:
    subject = unverified()
    found = bisect(subject, _rig(subject, tmp_path), TOLERANCE)
    assert (found.graph, found.compiled) == (None, None)
    assert (found.graph_runs, found.compiled_runs) == (1, 1)


def test_an_approximate_pass_is_what_the_rest_is_held_against() -> None:
    assert bisect(unverified(Rough(), "fold-batchnorm"), None, TOLERANCE).graph is None
    found = bisect(unverified(Rough(), Spoilt()), None, TOLERANCE).graph
    _is_the_plant(found)
