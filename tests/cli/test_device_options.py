"""Which device the options mean."""

import pytest

from efcompile.cli.device_options import KEY_VARIABLE, chosen, default_target
from efcompile.devices.adb import Adb
from efcompile.errors import DeviceError
from efcompile.targets.resolve import resolve


def test_a_name_alone_is_enough() -> None:
    assert chosen("local").name == "local"


def test_a_phone_by_its_serial() -> None:
    assert chosen("adb", serial="X1") == Adb("X1")


def test_a_setting_of_another_device_is_refused() -> None:
    with pytest.raises(DeviceError, match="`serial` is a setting of adb, not of local"):
        chosen("local", serial="X1")
    with pytest.raises(DeviceError, match="`tracker` is a setting of rpc, not of qemu"):
        chosen("qemu", tracker="127.0.0.1:9190")


def test_a_key_in_the_environment_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "phones")
    assert chosen("local", key="phones").name == "local"
    with pytest.raises(DeviceError, match="`key` is a setting of rpc"):
        chosen("local", key="others")


@pytest.mark.parametrize("device", ["local", "qemu", "adb", "rpc"])
def test_each_device_has_a_target(device: str) -> None:
    arch = resolve(default_target(device)).arch
    assert device == "local" or arch == "aarch64"
