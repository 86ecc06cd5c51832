"""Devices by name."""

import pytest

from efcompile.devices.registry import DEVICES, get_device
from efcompile.errors import DeviceError


def test_every_device_is_found_by_its_name() -> None:
    assert [device.name for device in DEVICES] == ["local", "qemu", "adb"]
    for device in DEVICES:
        assert get_device(device.name) is device
        assert device.summary


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DeviceError, match="unknown device `qemo`; did you mean `qemu`"):
        get_device("qemo")
