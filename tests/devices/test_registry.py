"""Devices by name."""

import pytest

from efcompile.devices.adb import Adb
from efcompile.devices.local import Local
from efcompile.devices.registry import DEVICES, get_device
from efcompile.errors import DeviceError


def test_every_device_is_found_by_its_name() -> None:
    assert [device.name for device in DEVICES] == ["local", "qemu", "rpc", "adb"]
    for device in DEVICES:
        assert get_device(device.name) is device
        assert device.summary


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DeviceError, match="unknown device `qemo`; did you mean `qemu`"):
        get_device("qemo")


def test_settings_say_which_one_is_meant() -> None:
    assert get_device("adb", serial="X1", warmup=None) == Adb("X1")
    assert get_device("local", iterations=7) == Local(iterations=7)
    assert "127.0.0.1:9091" in repr(get_device("rpc", server="127.0.0.1:9091"))


def test_a_setting_of_others_is_refused() -> None:
    with pytest.raises(DeviceError, match="`tracker` is a setting of rpc, not of local"):
        get_device("local", tracker="127.0.0.1:9190")
    with pytest.raises(DeviceError, match="`warmup` is a setting of local and rpc and adb, not"):
        get_device("qemu", warmup=3)
