"""What a phone tells of itself."""

from collections.abc import Mapping

import pytest

from efcompile.devices.adb import Adb
from efcompile.devices.phone import Phone, read_phone
from efcompile.errors import DeviceError
from tests.devices.phones import StandIn, phone

__all__ = ["phone"]


def _phone(speeds: Mapping[int, int]) -> Phone:
    return Phone("", "", "aarch64", "measured", speeds)


def test_the_fastest_cores_are_chosen_the_last_ones_among_equals() -> None:
    # Four small cores, three middle ones and a big one, as in many phones.
    speeds = dict(enumerate([1800000] * 4 + [2400000] * 3 + [3000000]))
    chosen = [_phone(speeds).fastest(threads) for threads in (1, 2, 4, 5, 8, 9)]
    assert chosen == ["7", "6,7", "4,5,6,7", "3,4,5,6,7", "0,1,2,3,4,5,6,7", None]
    assert _phone({0: 2400000, 1: 1800000}).fastest(1) == "0"
    assert _phone({}).fastest(1) is None


def test_it_is_read_from_the_phone(phone: StandIn) -> None:
    phone.set(FREQUENCIES="0:1800000,1:1800000,9:2400000")
    found = Adb(adb=phone.adb).phone()
    assert found.speeds == {0: 1800000, 1: 1800000, 9: 2400000}
    assert (found.machine, found.model, found.kind) == ("aarch64", "adb_through_qemu", "emulated")


def test_cores_that_are_off_are_left_out() -> None:
    cores = "".join(f"cpu{core}=1800000\n" for core in range(6))
    assert sorted(read_phone(f"machine=aarch64\nonline=0-1,3,5\n{cores}", "A1").speeds) == [
        *(0, 1, 3, 5)
    ]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("emulated=\nvirtual=\n", "measured"),
        ("emulated=1\nvirtual=\n", "emulated"),
        # Of the Android emulator in Google's SDK.
        ("emulated=\nvirtual=1\n", "emulated"),
        ("", "measured"),
    ],
)
def test_what_says_that_it_is_emulated_is(said: str, kind: str) -> None:
    assert read_phone(f"machine=aarch64\n{said}", "A1").kind == kind


def test_another_architecture_is_refused(phone: StandIn) -> None:
    phone.set(MACHINE="x86_64")
    with pytest.raises(DeviceError, match="runs x86_64 and not arm64 programs: take a phone"):
        Adb(adb=phone.adb).phone()
