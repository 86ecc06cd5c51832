"""The arm64 bundle under emulation: outputs, exact counts, refusals."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.devices.qemu import Qemu
from efcompile.errors import BundleError, DeviceError, InputError
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from tests.bundle.programs import SHAPE, expected, sample, tiny_program
from tests.devices.arm64 import needs_arm64

PROGRAM = tiny_program(target=resolve("arm64"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(PROGRAM, tmp_path_factory.mktemp("qemu"), parts=["bench"]))


@needs_arm64
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_right(bundle: Bundle, threads: int) -> None:
    x = sample()
    for got, want in zip(
        Qemu().run(bundle, [x], threads=threads), expected(PROGRAM, x), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-6)


@needs_arm64
def test_counts_are_exact_by_class_and_repeat(bundle: Bundle) -> None:
    first, again = Qemu().measure(bundle), Qemu().measure(bundle)
    assert {name: one.value for name, one in first.items()} == {
        name: one.value for name, one in again.items()
    }
    classes = ("fmla", "simd", "load", "store", "branch", "other")
    assert list(first) == ["instructions", *classes]
    assert first["instructions"].value == sum(first[name].value for name in classes)
    # Two multiplications of the whole tensor, four floats to a register, and few besides.
    vectors = int(np.prod(SHAPE)) // 4
    assert first["simd"].value >= 2 * vectors
    assert vectors < first["store"].value < first["instructions"].value / 4


@needs_arm64
def test_a_profile_adds_up_to_the_whole(bundle: Bundle) -> None:
    calls = Qemu().profile(bundle)
    assert len(calls) == len(PROGRAM.calls)
    whole = Qemu().measure(bundle)
    for name in ("fmla", "simd", "load", "store", "branch", "other"):
        assert sum(getattr(call, name) for call in calls) == whole[name].value
    # The first and the last multiply, four floats to a register; the middle one adds mirrored.
    vectors = int(np.prod(SHAPE)) // 4
    first, mirror, last = calls
    assert vectors <= first.simd < 2 * vectors and vectors <= last.simd < 2 * vectors
    assert mirror.simd > 2 * vectors
    assert Qemu().profile(bundle, [sample()]) == calls


@needs_arm64
def test_a_program_with_other_calls_is_refused(bundle: Bundle) -> None:
    fewer = bundle.manifest.model_copy(update={"calls": bundle.manifest.calls[:2]})
    other = Bundle(bundle.path, fewer)
    with pytest.raises(DeviceError, match="has 3 calls and its manifest 2"):
        Qemu().profile(other)


@needs_arm64
def test_counts_carry_where_they_come_from(bundle: Bundle) -> None:
    total = Qemu().measure(bundle, [sample()])["instructions"]
    assert (total.kind, total.unit, total.threads) == ("emulated", "instructions", 1)
    assert (total.device, total.target) == ("qemu", "arm64")
    assert total.spread == (total.value, total.value)
    assert total.versions["qemu"][0].isdigit()


@needs_arm64
def test_counts_of_several_threads_are_refused(bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="one thread, not of 2"):
        Qemu().measure(bundle, threads=2)


@needs_arm64
def test_wrong_inputs_are_refused(bundle: Bundle) -> None:
    for run in (Qemu().run, Qemu().measure):
        with pytest.raises(InputError, match="must be float32 of shape"):
            run(bundle, [sample().astype(np.float64)])


@needs_arm64
def test_a_bundle_without_benchmark_says_what_to_do(bundle: Bundle) -> None:
    files = {name: entry for name, entry in bundle.manifest.files.items() if name != "bench"}
    bare = Bundle(bundle.path, bundle.manifest.model_copy(update={"files": files}))
    with pytest.raises(BundleError, match="has no bench"):
        Qemu().run(bare, [sample()])


@needs_arm64
def test_code_for_other_systems_is_refused(bundle: Bundle) -> None:
    iphone = bundle.manifest.model_copy(update={"target": resolve("iphone12")})
    with pytest.raises(DeviceError, match="target='arm64'"):
        Qemu().run(Bundle(bundle.path, iphone), [sample()])
    assert Qemu().refuses(resolve("android")) is None
    if detect_host().arch == "x86_64":
        assert "arm64 Linux programs" in str(Qemu().refuses(detect_host()))


def test_a_missing_emulator_is_named_with_its_install_line(
    monkeypatch: pytest.MonkeyPatch, bundle: Bundle
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get install qemu-user" in str(Qemu().unavailable())
    with pytest.raises(DeviceError, match="apt-get install qemu-user"):
        Qemu().run(bundle, [sample()])


@needs_arm64
def test_it_is_available_here() -> None:
    assert Qemu().unavailable() is None


@needs_arm64
def test_a_killed_program_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="did not end within"):
        Qemu(timeout=0.001).run(bundle, [sample()])
