"""Whole models as arm64 programs under emulation, against eager PyTorch."""

from pathlib import Path

import pytest
import torch

import efcompile
from efcompile.bundle.sample import TOLERANCE, relative_error
from efcompile.devices.registry import get_device
from efcompile.models.input_size import default_input_size
from efcompile.models.randomize import randomize
from efcompile.models.zoo import resolve_model

MODELS = [
    "efficientformerv2_s0",
    pytest.param("efficientformer_l1", marks=pytest.mark.parity),
    pytest.param("timm:deit_small_patch16_224", marks=pytest.mark.parity),
    pytest.param("timm:levit_256", marks=pytest.mark.parity),
]


@pytest.mark.parametrize("source", MODELS)
def test_arm64_parity_and_repeatable_counts(source: str, tmp_path: Path) -> None:
    qemu = get_device("qemu")
    if reason := qemu.unavailable():
        pytest.skip(reason)
    module = randomize(resolve_model(source).eval(), seed=8)
    size = default_input_size(module)
    assert size is not None
    x = torch.randn(1, *size, generator=torch.Generator().manual_seed(9))
    compiled = efcompile.optimize(module, x, target="arm64", out=tmp_path)
    with torch.inference_mode():
        wanted = module(x).numpy()
    got = compiled.run(x, device="qemu", threads=1)
    assert relative_error([got.numpy()], [wanted]) <= TOLERANCE
    counts = [qemu.measure(compiled.bundle, [x.numpy()]) for _ in range(2)]
    assert counts[0]["instructions"].value == counts[1]["instructions"].value
    assert counts[0]["fmla"].value > 0.4 * counts[0]["instructions"].value
