"""What adb and phones complain of, in words that say what to do."""

import re
from typing import Final

from efcompile.errors import DeviceError


class PhoneLostError(DeviceError):
    """The connection to the phone broke: it may come back."""


INSTALL: Final = "apt-get install adb (or Android's platform-tools), and have it on PATH"

_LOST: Final = re.compile(
    r"device offline|device '[^']*' not found|no devices/emulators found|device still \w+"
    r"|error: closed|connection reset|protocol fault|broken pipe|transport error",
    re.IGNORECASE,
)

# What is said, what it means, how to mend it.
_FAULTS: Final = (
    (
        r"No space left on device",
        "the phone has no room left",
        "free some storage there (a run needs the program, the weights and the inputs)",
    ),
    (
        r"unauthorized|authorizing",
        "the phone does not trust this computer",
        "unlock its screen and accept the question about USB debugging, then try again",
    ),
    (
        r"no permissions|insufficient permissions",
        "this user may not open the phone's USB device",
        "add yourself to the group plugdev, install android-sdk-platform-tools-common (udev "
        "rules), plug the phone in again",
    ),
    (
        r"Exec format error|not executable: .*ELF|cannot execute binary",
        "the phone cannot run arm64 programs",
        "compile for its own architecture (`adb shell uname -m` tells), or take an arm64 phone",
    ),
    (
        r"Permission denied|Read-only file system|Operation not permitted",
        "the phone does not let adb do this",
        "choose a folder that the shell may write to and run programs in, such as /data/local/tmp",
    ),
    (
        r"failed to start daemon|cannot connect to daemon|server version",
        "adb's own server does not work",
        "run `adb kill-server`, then `adb devices`",
    ),
)


def explained(said: str, doing: str) -> DeviceError:
    """The error for what adb or the phone `said` while `doing` something."""
    text = " ".join(said.split())[-400:] or "no message"
    if _LOST.search(said):
        return PhoneLostError(
            f"the phone went away while {doing} ({text}). Check its cable and that it is awake; "
            "`adb devices` must list it"
        )
    for pattern, what, mend in _FAULTS:
        if re.search(pattern, said, re.IGNORECASE):
            return DeviceError(f"{what}, seen while {doing} ({text}). Mend it: {mend}")
    return DeviceError(f"{doing} failed: {text}")


def not_installed(program: str) -> DeviceError:
    """The error for an adb program that is not there."""
    return DeviceError(f"`{program}` is not installed. Install it: {INSTALL}")


def state_fault(serial: str, state: str) -> DeviceError:
    """The error for a phone that adb lists in another state than ``device``."""
    if state == "offline":
        return DeviceError(
            f"phone {serial} is offline. Plug it in again, or toggle USB debugging on it; "
            "`adb devices` must say `device`"
        )
    if re.search(_FAULTS[1][0], state) or "no permissions" in state:
        return explained(state, f"looking for phone {serial}")
    return DeviceError(
        f"phone {serial} is in the state `{state}`: boot it into Android; `adb devices` must say "
        "`device`"
    )
