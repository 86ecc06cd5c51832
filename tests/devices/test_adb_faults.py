"""What adb says, in words that say what to do."""

import pytest

from efcompile.devices.adb_faults import PhoneLostError, explained, state_fault


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("adb: error: failed to copy: remote No space left on device", "has no room left"),
        ("error: device unauthorized.\nTry 'adb kill-server'", "does not trust this computer"),
        ("error: insufficient permissions for device: udev", "group plugdev"),
        ("sh: ./bench: not executable: 64-bit ELF file", "cannot run arm64 programs"),
        ("sh: 1: ./bench: Exec format error", "cannot run arm64 programs"),
        ("mkdir: '/system/x': Read-only file system", "choose a folder"),
        ("adb: failed to start daemon", "run `adb kill-server`"),
        ("bench: cannot map weights", "pushing x failed: bench: cannot map weights"),
        ("", "pushing x failed: no message"),
    ],
)
def test_each_complaint_is_explained(said: str, wanted: str) -> None:
    error = explained(said, "pushing x")
    assert wanted in str(error) and "pushing x" in str(error) and "\n" not in str(error)
    assert not isinstance(error, PhoneLostError)


@pytest.mark.parametrize(
    "said",
    [
        "error: device offline",
        "error: device 'A1' not found",
        "error: no devices/emulators found",
        "error: closed",
        "adb: error: failed to get feature set: device offline",
    ],
)
def test_a_phone_that_went_away_is_told_apart(said: str) -> None:
    error = explained(said, "pushing x")
    assert isinstance(error, PhoneLostError)
    assert "went away while pushing x" in str(error) and "`adb devices`" in str(error)


def test_states_of_a_phone() -> None:
    assert "boot it into Android" in str(state_fault("A1", "sideload"))
    assert "looking for phone A1" in str(state_fault("A1", "unauthorized"))
