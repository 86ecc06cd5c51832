"""Stages and nodes side by side: the error grows where it was put, and nowhere else."""

import json
import math
from pathlib import Path

import pytest
import torch

from efcompile.devices.local import Local
from efcompile.report.divergence import Divergence, deviation, diverge
from efcompile.report.observation import Rig
from efcompile.targets.resolve import resolve
from tests.report.planted import Spoilt, unverified


def _diverge(folder: Path, *passes: object) -> Divergence:
    subject = unverified(*passes)  # type: ignore[arg-type]
    rig = Rig(subject.captured.example_inputs, resolve("host"), Local(), 1, folder)
    return diverge(subject, "host", rig, 1e-4)


def test_deviation() -> None:
    wanted = torch.tensor([3.0, -4.0])
    found = deviation([wanted + torch.tensor([0.4, 0.0])], [wanted])
    assert found.max_abs == pytest.approx(0.4) and found.relative == pytest.approx(0.1)
    assert found.snr_db == pytest.approx(10 * math.log10(25 / 0.16), rel=1e-5)
    cosine = (3.4 * 3 + 16) / (5 * math.hypot(3.4, 4))
    assert found.cosine == pytest.approx(cosine)
    same = deviation([wanted], [wanted])
    assert (same.max_abs, same.relative, same.snr_db) == (0.0, 0.0, None)
    assert same.cosine == pytest.approx(1.0)
    assert deviation([wanted * 0], [wanted]).cosine is None


def test_a_nan_is_infinitely_wrong_and_still_json() -> None:
    found = deviation([torch.tensor([math.nan, 1.0])], [torch.ones(2)])
    assert found.relative == math.inf
    assert json.loads(found.model_dump_json())["relative"] == "Infinity"


def test_a_right_pipeline_agrees_everywhere(tmp_path: Path) -> None:
    found = _diverge(tmp_path)
    assert not found.parted and found.bisection is None
    assert [row.name for row in found.stages][:2] == ["captured", "fold-batchnorm"]
    assert found.stages[0].graph.relative == 0.0
    for stage in found.stages:
        assert stage.compiled is not None and 0 < stage.compiled.relative < 1e-5
    assert len(found.nodes) >= 5
    for row in found.nodes:
        assert row.counterpart is not None and row.compiled is not None
        assert row.graph is not None and row.graph.relative < 1e-5
        assert row.kernel is not None and row.kernel.relative < 1e-5
        assert row.sources
    # Only inside a kernel: the norms, and what comes before a GELU or an addition.
    assert {"batch_norm", "batch_norm_1"} <= set(found.gone)
    assert not set(found.gone) & {row.counterpart for row in found.nodes}
    assert Divergence.model_validate_json(found.model_dump_json()) == found


def test_a_planted_weight_shows_from_its_node_on(tmp_path: Path) -> None:
    found = _diverge(tmp_path, Spoilt(), "cancel-reshapes", "fuse-epilogue")
    assert found.parted
    assert [row.name for row in found.stages if row.graph.relative > 1e-4] == [
        row.name for row in found.stages[1:]
    ]
    errors = [row.graph.relative if row.graph else 0.0 for row in found.nodes]
    planted = next(
        i
        for i, row in enumerate(found.nodes)
        if "body.1.norm" in row.sources and "conv2d" in row.op
    )
    before = [row for row in found.nodes[:planted] if row.graph]
    assert before and all(row.graph.relative < 1e-5 for row in before if row.graph)
    assert errors[planted] > 1e-4
    assert found.nodes[planted].counterpart in ("batch_norm_1", "gelu_1")
    # The kernels compute what the wrong graph says.
    for row in found.nodes:
        assert row.kernel is not None and row.kernel.relative < 1e-5


def test_without_a_device_only_graphs_are_compared() -> None:
    found = diverge(unverified("fold-batchnorm"), "iphone12", None, 1e-4)
    assert found.device is None and not found.parted
    assert all(row.compiled is None for row in found.stages)
    assert all(row.compiled is None and row.kernel is None for row in found.nodes)
    assert any(row.graph for row in found.nodes)
