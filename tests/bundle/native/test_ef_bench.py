import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from tests.bundle.programs import expected, sample, target_named, tiny_program


def _bench(bundle: Bundle, *arguments: str | Path, emulator: str | None = None) -> Any:
    command = [*([emulator] if emulator else []), bundle.file("bench"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def _refusal(bundle: Bundle, *arguments: str | Path) -> str:
    done = subprocess.run([bundle.file("bench"), *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def _check_outputs(bundle: Bundle, folder: Path, emulator: str | None, threads: int) -> None:
    x = sample(3)
    (folder / "x").write_bytes(x.tobytes())
    arguments: list[str | Path] = ["--input", folder / "x", "--output", folder / "y"]
    _bench(bundle, *arguments, "--threads", str(threads), emulator=emulator)
    found = np.fromfile(folder / "y", np.float32)
    wanted = np.concatenate(expected(tiny_program(), x)).ravel()
    np.testing.assert_array_equal(found, wanted)


def test_it_prints_one_line_of_times(host_bundle: Bundle) -> None:
    said = _bench(host_bundle, "--iterations", "11", "--warmup", "2", "--threads", "2")
    assert (said["model"], said["threads"], said["iterations"]) == ("tiny", 2, 11)
    assert (said["warmup"], said["unit"]) == (2, "ns")
    assert 0 < said["min"] <= said["median"] <= said["p90"] <= said["max"]
    assert said["min"] <= said["q1"] <= said["median"] <= said["q3"] <= said["max"]
    assert said["min"] <= said["mean"] <= said["max"]


def test_untimed_output_repeats_exactly(host_bundle: Bundle) -> None:
    first = _bench(host_bundle, "--untimed")
    assert first == _bench(host_bundle, "--untimed")
    assert "median" not in first


@pytest.mark.parametrize("threads", [1, 3])
def test_inputs_and_outputs_are_raw_files(
    host_bundle: Bundle, tmp_path: Path, threads: int
) -> None:
    _check_outputs(host_bundle, tmp_path, None, threads)


def test_without_input_it_makes_up_the_same_one(host_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _bench(host_bundle, "--output", tmp_path / name)
    made = np.fromfile(tmp_path / "a", np.float32)
    np.testing.assert_array_equal(made, np.fromfile(tmp_path / "b", np.float32))
    assert np.isfinite(made).all()
    assert made.std() > 0.1


def test_it_keeps_to_the_cores_it_is_given(host_bundle: Bundle) -> None:
    core = min(os.sched_getaffinity(0))
    assert _bench(host_bundle, "--cores", f"{core}-{core}", "--threads", "2")["threads"] == 2
    assert "cannot run on cores 1000" in _refusal(host_bundle, "--cores", "1000")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--iterations", "0"], "--iterations must be a whole number from 1"),
        (["--iterations", "ten"], "not 'ten'"),
        (["--iterations", "5x"], "not '5x'"),
        (["--warmup", "-1"], "--warmup must be a whole number from 0"),
        (["--threads", "0"], "--threads must be a whole number from 1 to 256, not '0'"),
        (["--threads", "99999999999999999999"], "--threads must be"),
        (["--cores", "1,,2"], "--cores must be a list such as 0,2,4-7, not '1,,2'"),
        (["--cores", "3-1"], "--cores must be a list"),
        (["--cores", ""], "--cores must be a list"),
        (["--input"], "--input needs a value"),
        (["--input", "/no/such/file"], "cannot open /no/such/file: No such file"),
        (["--output", "/no/such/file"], "cannot open /no/such/file: No such file"),
        (["--weights", "/no/such/file"], "cannot open /no/such/file: No such file"),
        (["--weights", "/etc/hostname"], "not the weights.bin of this build"),
        (["--speed"], "unknown option '--speed'\nusage: bench"),
    ],
)
def test_bad_arguments_are_refused(host_bundle: Bundle, arguments: list[str], message: str) -> None:
    assert message in _refusal(host_bundle, *arguments)


@pytest.mark.parametrize("by", [-4, 4])
def test_an_input_of_the_wrong_size_is_refused(
    host_bundle: Bundle, tmp_path: Path, by: int
) -> None:
    (tmp_path / "x").write_bytes(bytes(sample().nbytes + by))
    assert "must hold exactly the 6144 bytes" in _refusal(host_bundle, "--input", tmp_path / "x")


def test_help_goes_to_stdout(host_bundle: Bundle) -> None:
    done = subprocess.run([host_bundle.file("bench"), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: bench [--warmup W]")


def test_it_tells_the_code_of_every_call(host_bundle: Bundle) -> None:
    command = [str(host_bundle.file("bench")), "--calls"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    first, mirror, again = (int(line, 16) for line in lines)
    assert first == again != mirror


needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-aarch64") is None, reason="apt-get install qemu-user"
)


@needs_qemu
@pytest.mark.parametrize("threads", [1, 4])
def test_arm64_gives_the_same_numbers_under_emulation(
    arm64_bundle: Bundle, tmp_path: Path, threads: int
) -> None:
    _check_outputs(arm64_bundle, tmp_path, "qemu-aarch64", threads)


@needs_qemu
def test_the_android_executable_needs_no_android(android_bundle: Bundle, tmp_path: Path) -> None:
    _check_outputs(android_bundle, tmp_path, "qemu-aarch64", 2)


@needs_qemu
@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None, reason="apt-get install gcc-aarch64-linux-gnu"
)
def test_gcc_links_arm64_as_well_as_zig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("efcompile.bundle.toolchain._zig_home", lambda: None)
    program = tiny_program(target=target_named("arm64"))
    bundle = load_bundle(write_bundle(program, tmp_path))
    _check_outputs(bundle, tmp_path, "qemu-aarch64", 2)


@needs_qemu
def test_an_arm64_core_without_the_features_is_refused(arm64_bundle: Bundle) -> None:
    """A Cortex-A53 has neither half floats nor dot products."""
    done = subprocess.run(
        ["qemu-aarch64", "-cpu", "cortex-a53", arm64_bundle.file("bench")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "this CPU lacks a feature the code uses" in done.stderr
