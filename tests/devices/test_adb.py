"""Bundles on a phone, which a stand-in for adb plays with an emulator."""

import time
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.devices.adb import Adb
from efcompile.errors import DeviceError, InputError
from efcompile.targets.resolve import resolve
from tests.bundle.programs import expected, sample, tiny_program
from tests.devices.arm64 import needs_arm64
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]

PROGRAM = tiny_program(target=resolve("android"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(PROGRAM, tmp_path_factory.mktemp("adb"), parts=["bench"]))


@needs_arm64
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_right_and_nothing_is_left(
    phone: StandIn, bundle: Bundle, threads: int
) -> None:
    x = sample()
    found = Adb(adb=phone.adb).run(bundle, [x], threads=threads)
    for got, want in zip(found, expected(PROGRAM, x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    assert list(phone.storage.iterdir()) == []


@needs_arm64
def test_latency_is_labelled_as_what_it_is(phone: StandIn, bundle: Bundle) -> None:
    measured = Adb(adb=phone.adb, iterations=9).measure(bundle, threads=2)
    latency = measured["latency"]
    assert (latency.kind, latency.unit, latency.device) == ("emulated", "ns", "adb")
    assert (latency.samples, latency.threads, latency.target) == (9, 2, "android")
    low, high = latency.spread
    assert 0 < low <= latency.value <= high
    assert latency.versions["phone"] == "adb_through_qemu"
    assert latency.versions.items() >= bundle.manifest.versions.items()


@needs_arm64
def test_it_runs_on_the_cores_it_is_given(phone: StandIn, bundle: Bundle) -> None:
    assert Adb(adb=phone.adb, cores="0").run(bundle, [sample()])
    # The phone has a core that this machine has not: what is chosen is really asked for.
    phone.set(FREQUENCIES="0:1800000,1000:2400000")
    with pytest.raises(DeviceError, match="cannot run on cores 1000"):
        Adb(adb=phone.adb).run(bundle, [sample()])


@needs_arm64
def test_a_program_that_fails_says_why(phone: StandIn, bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match=r"running bench on the phone failed.*--cores must be"):
        Adb(adb=phone.adb, cores="many").measure(bundle)
    assert list(phone.storage.iterdir()) == []


def test_a_phone_of_another_architecture_is_refused(phone: StandIn, bundle: Bundle) -> None:
    phone.set(MACHINE="armv7l")
    with pytest.raises(DeviceError, match="runs armv7l and not arm64"):
        Adb(adb=phone.adb).measure(bundle)


def test_a_program_for_another_architecture_is_named(phone: StandIn, tmp_path: Path) -> None:
    x86_64 = (62).to_bytes(2, "little")
    (tmp_path / "program").write_bytes(b"\x7fELF\2\1\1".ljust(18, b"\0") + x86_64 + bytes(44))
    with pytest.raises(DeviceError, match=r"cannot run arm64 programs.*Mend it: compile for its"):
        Adb(adb=phone.adb).execute(tmp_path / "program")


def test_no_room_on_the_phone(phone: StandIn, bundle: Bundle) -> None:
    phone.set(SPACE="1000")
    with pytest.raises(DeviceError, match=r"no room left, seen while pushing bench.*free some"):
        Adb(adb=phone.adb).run(bundle, [sample()])


@needs_arm64
def test_outputs_that_are_cut_off(phone: StandIn, bundle: Bundle) -> None:
    phone.set(TRUNCATE="100")
    size = sum(entry.bytes for entry in bundle.manifest.outputs)
    with pytest.raises(DeviceError, match=f"came back with 100 bytes of {size}"):
        Adb(adb=phone.adb).run(bundle, [sample()])


@needs_arm64
@pytest.mark.parametrize("after", [1, 3, 6, 8])
def test_a_phone_that_comes_back_is_asked_again(phone: StandIn, bundle: Bundle, after: int) -> None:
    phone.set(OFFLINE_AFTER=str(after), OFFLINE_FOR="1")
    (y, _) = Adb(adb=phone.adb).run(bundle, [sample()])
    np.testing.assert_allclose(y, expected(PROGRAM, sample())[0], rtol=1e-6)
    assert int((phone.root / "commands").read_text()) > after


@needs_arm64
def test_a_phone_that_stays_away_is_given_up(phone: StandIn, bundle: Bundle) -> None:
    phone.set(OFFLINE_AFTER="3")
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"did not come back within 0.3 s.*plug it in"):
        Adb(adb=phone.adb, patience=0.3).run(bundle, [sample()])
    assert time.monotonic() - start < 50  # and not the minute that it is given otherwise


def test_a_slow_phone_is_given_up(phone: StandIn, bundle: Bundle) -> None:
    phone.set(SLOW="2")
    with pytest.raises(DeviceError, match=r"took over 0.5 s.*give it more time"):
        Adb(adb=phone.adb, timeout=0.5).run(bundle, [sample()])


def test_wrong_inputs_never_reach_the_phone(phone: StandIn, bundle: Bundle) -> None:
    with pytest.raises(InputError, match="must be float32 of shape"):
        Adb(adb=phone.adb).run(bundle, [sample().astype(np.float64)])
    assert not phone.root.exists()


def test_code_for_other_systems_is_refused(bundle: Bundle) -> None:
    for alias in ("arm64", "android", "raspberrypi5"):
        assert Adb().refuses(resolve(alias)) is None
    iphone = bundle.manifest.model_copy(update={"target": resolve("iphone12")})
    with pytest.raises(DeviceError, match="Compile with target='android'"):
        Adb().run(Bundle(bundle.path, iphone), [sample()])


def test_a_phone_is_available_or_says_what_to_do(phone: StandIn) -> None:
    assert Adb(adb=phone.adb).unavailable() is None
    phone.set(DEVICES="")
    assert "Enable USB debugging" in str(Adb(adb=phone.adb).unavailable())
    assert "Install it: apt-get install adb" in str(Adb(adb="no-such-adb").unavailable())


def test_names_tell_phones_apart() -> None:
    assert (Adb().name, Adb(serial="A1").name) == ("adb", "adb:A1")
