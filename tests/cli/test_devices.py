"""`efcompile devices`: what is there and what is missing."""

import json
import shutil

import pytest

from efcompile.targets.aliases import ALIASES
from tests.cli.command import efcompile


def test_devices_and_targets_are_listed() -> None:
    said = efcompile("devices")
    assert said.code == 0
    for name in ("local", "qemu", "rpc", "adb", "host", *ALIASES):
        assert name in said.out


def test_json_lists_them_all() -> None:
    document = json.loads(efcompile("devices", "--json").out)
    assert [device["name"] for device in document["devices"]] == ["local", "qemu", "rpc", "adb"]
    assert [target["alias"] for target in document["targets"]] == ["host", *ALIASES]


def test_what_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    document = json.loads(efcompile("devices", "--json").out)
    states = {device["name"]: device["unavailable"] for device in document["devices"]}
    assert states["local"] is None
    assert "apt-get install qemu-user" in states["qemu"]
    assert "qemu-user" in efcompile("devices").out
