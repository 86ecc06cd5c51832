"""Who is held to AVX2 really is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.avx2 import CPU, hold
from benchmarks.case import Case
from benchmarks.peers.registry import PEERS
from efcompile.bundle.load import load_bundle
from tests.small import image, small


def test_ours_is_compiled_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    ours, peers = hold(list(PEERS.values()))
    assert [peer.name for peer in peers] == ["eager", "openvino"]
    case = Case("small", small(), image(), tmp_path)
    bundle = load_bundle(next(ours.prepared(case).glob("small.*")))
    assert bundle.manifest.target.cpu == CPU
    assert bundle.manifest.target.vector_bits == 256
    assert not any(feature.startswith("avx512") for feature in bundle.manifest.cpu_features)


def test_torch_is() -> None:
    code = (
        "import torch; from benchmarks.avx2 import hold; hold([]); "
        "print(torch.backends.cpu.get_cpu_capability())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == "AVX2"
