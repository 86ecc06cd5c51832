"""Profiles add up to the whole and name where every call came from."""

from pathlib import Path

import numpy as np
import pytest

import efcompile
from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError, InputError
from efcompile.report.document import Profile
from efcompile.report.machine import Level, Machine
from efcompile.report.profile import (
    calm_rounds,
    clock_calls,
    disturbance,
    inputs_of,
    profile_bundle,
)
from efcompile.targets.resolve import resolve
from tests.bundle.programs import sample, tiny_program
from tests.devices.arm64 import needs_arm64
from tests.report.profiles import figure
from tests.report.profiles import profile as small_profile

MACHINE = Machine(1, 8, 200.0, 50.0, 40.0, 20.0, (Level("memory", 1 << 62, 10.0, 20.0),))


def _tiny(folder: Path) -> Bundle:
    return load_bundle(write_bundle(tiny_program(), folder, parts=["shared"]))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("s0")
    return efcompile.optimize("efficientformerv2_s0", out=out, threads=1).bundle


@pytest.fixture(scope="module")
def profile(network: Bundle) -> Profile:
    # Many rounds: other work on this machine must not decide.
    return profile_bundle(network, Local(), rounds=240, stage="last", provenance="here")


def test_the_calls_of_a_network_add_up_to_its_time(profile: Profile) -> None:
    together = sum(row.cost.value for row in profile.kernels)
    assert together == pytest.approx(profile.whole.value, rel=0.05)


def test_every_kernel_names_modules_of_the_users_model(profile: Profile) -> None:
    assert all(row.sources for row in profile.kernels)
    assert profile.kernels[0].sources[0].startswith("stem.")
    assert profile.kernels[0].survey_class == "patch embed"
    classes = {row.survey_class for row in profile.kernels}
    assert {"patch embed", "attention", "linear/conv"} <= classes


def test_figures_say_where_they_come_from(profile: Profile, network: Bundle) -> None:
    assert profile.stage == "last"
    assert set(profile.peaks) == {"fma", "copy"}
    for found in (profile.whole, *profile.peaks.values(), profile.kernels[0].cost):
        assert found.provenance == "here"
    assert profile.whole.unit == "ns"
    assert profile.whole.samples == 24
    assert profile.arena_bytes == network.manifest.sizes.arena
    assert len(profile.tensors) == len(network.manifest.plan)


def test_no_kernel_is_faster_than_the_machine(profile: Profile) -> None:
    assert sum(row.share for row in profile.kernels) == pytest.approx(1.0)
    for row in profile.kernels:
        assert row.cost.low <= row.cost.value <= row.cost.high
        # The bound is right to what peaks of one run vary by.
        assert row.roofline_share is not None and 0 < row.roofline_share < 1.5, row
        # Pairs spare a multiply-add of four.
        assert row.flops / row.cost.value < 1.1 * 4 / 3 * profile.peaks["fma"].value / 1e9


def test_rates_may_be_given(tmp_path: Path) -> None:
    found = profile_bundle(_tiny(tmp_path), Local(), rounds=4, machine=MACHINE)
    assert found.peaks["fma"].value == 200e9
    assert found.peaks["copy"].value == 10e9
    first = found.kernels[0]
    # Nothing is known of the tiny kernel but what it moves: x and h copied, w read.
    bytes_ = sample().nbytes
    least = max(2 * bytes_ / 10.0, bytes_ / 20.0)
    assert first.roofline_share == pytest.approx(least / first.cost.value)


def test_the_disturbed_rounds_are_left_out() -> None:
    whole = np.array([10, 11, 12, 99], np.int64)
    calls = np.array([[4, 5], [5, 5], [70, 5], [5, 5]], np.int64)
    assert list(calm_rounds(whole, calls)) == [0, 1]


@pytest.mark.parametrize(("rounds", "kept"), [(4, 2), (9, 5), (20, 5), (60, 6), (240, 24)])
def test_a_tenth_is_kept(rounds: int, kept: int) -> None:
    whole = np.arange(rounds, dtype=np.int64)
    assert len(calm_rounds(whole, whole[:, None])) == kept


def test_a_profile_that_does_not_add_up_is_told() -> None:
    good = small_profile()
    assert disturbance(good) is None
    for whole, share in ((94.0, "106%"), (110.0, "91%")):
        told = disturbance(good.model_copy(update={"whole": figure(whole)}))
        assert told is not None and f"add up to {share} of the whole" in told


def test_every_round_has_both_runs(tmp_path: Path) -> None:
    whole, calls = clock_calls(_tiny(tmp_path), 1, 5)
    assert whole.shape == (5,) and calls.shape == (5, 3)
    assert (whole > 0).all() and (calls > 0).all()


def test_the_clock_leaves_python_out(network: Bundle) -> None:
    library = Library(network, 1)
    assert library.clock(inputs_of(network)) > 100_000


@needs_arm64
def test_instructions_add_up_exactly(tmp_path: Path) -> None:
    program = tiny_program(target=resolve("arm64"))
    bundle = load_bundle(write_bundle(program, tmp_path, parts=["bench"]))
    found = profile_bundle(bundle, Qemu())
    assert sum(row.cost.value for row in found.kernels) == found.whole.value
    assert found.whole.unit == "instructions"
    assert found.peaks == {}
    assert {row.roofline_share for row in found.kernels} == {None}
    assert profile_bundle(bundle, Qemu()) == found
    with pytest.raises(DeviceError, match="one thread, not of 2"):
        profile_bundle(bundle, Qemu(), 2)


def test_too_few_rounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 4 rounds, not 3"):
        profile_bundle(_tiny(tmp_path), Local(), rounds=3)


def test_other_devices_are_refused(tmp_path: Path) -> None:
    class Other:
        name = "phone"

    with pytest.raises(DeviceError, match="on local or qemu, not on phone"):
        profile_bundle(_tiny(tmp_path), Other())  # type: ignore[arg-type]
