"""`efcompile bench`: parity from the bundle's own sample, latency or counts, refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from efcompile.bundle import manifest as manifests
from efcompile.bundle import sample
from efcompile.bundle.load import load_bundle
from tests.cli.command import efcompile, refused

needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-aarch64"), reason="apt-get install qemu-user"
)


def test_latency_here(bundle: Path) -> None:
    said = efcompile("bench", bundle, "--iterations", 3, "--threads", 2)
    assert said.code == 0, said.err
    assert "parity with eager PyTorch" in said.out
    assert "measured on local, 2 thread(s)" in said.out


def test_json_has_the_measurement(bundle: Path) -> None:
    said = efcompile("bench", bundle, "--warmup", 0, "--iterations", 4, "--json")
    document = json.loads(said.out)
    assert document["relative_error"] < 1e-4
    latency = document["measurements"]["latency"]
    assert (latency["unit"], latency["samples"], latency["kind"]) == ("ns", 4, "measured")


@needs_qemu
def test_instructions_under_emulation(arm64_bundle: Path) -> None:
    said = efcompile("bench", arm64_bundle, "--device", "qemu")
    assert said.code == 0, said.err
    assert "emulated on qemu" in said.out
    for kind in ("instructions", "fmla", "simd", "load", "store", "branch"):
        assert kind in said.out


@needs_qemu
def test_options_of_a_timed_run_are_refused_under_emulation(arm64_bundle: Path) -> None:
    said = efcompile("bench", arm64_bundle, "--device", "qemu", "--iterations", 3)
    assert said.code == 2
    assert "no --iterations" in said.err


def test_a_bundle_for_elsewhere_is_refused(arm64_bundle: Path) -> None:
    assert "--device qemu" in refused("bench", arm64_bundle) or 'device="qemu"' in refused(
        "bench", arm64_bundle
    )


def test_a_missing_emulator_is_named_with_its_install_line(
    arm64_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    line = refused("bench", arm64_bundle, "--device", "qemu")
    assert "apt-get install qemu-user" in line


def test_an_unknown_device_suggests_the_nearest(bundle: Path) -> None:
    assert "did you mean `qemu`" in refused("bench", bundle, "--device", "quemu")


@pytest.mark.parametrize("name", ["manifest.json", "weights.bin", "libsmall.so", sample.NAME])
def test_a_flipped_byte_is_noticed(bundle: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert f"{name} is damaged" in refused("bench", copy)


def test_wrong_outputs_are_an_error(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    tensors = load((copy / sample.NAME).read_bytes())
    data = save(tensors | {"output.0": tensors["output.0"] + np.float32(0.1)})
    _replace(copy, sample.NAME, data)
    line = refused("bench", copy)
    assert "ParityError" in line and "differs from eager PyTorch" in line


def _replace(bundle: Path, name: str, data: bytes) -> None:
    """Replace a file of a bundle, and its checksum, so that the bundle is whole again."""
    import hashlib

    old = load_bundle(bundle).manifest
    entry = manifests.FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (bundle / name).write_bytes(data)
    changed = old.model_copy(update={"files": old.files | {name: entry}})
    (bundle / manifests.NAME).write_bytes(manifests.dump(changed))
