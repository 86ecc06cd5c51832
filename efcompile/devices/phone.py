"""What a phone tells of itself over adb: which one it is, its cores, whether it is emulated."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from efcompile.devices.adb_connection import Connection
from efcompile.errors import DeviceError

EMULATED_VARIABLE: Final = "EFCOMPILE_EMULATED"
"""Set to 1 in the shell of what only rehearses a phone; its times are never a phone's."""

_ARM64: Final = ("aarch64", "arm64")

# `getprop` is Android's own; other systems that adb reaches do without.
_QUESTIONS: Final = f"""
echo "machine=$(uname -m)"
echo "emulated=${EMULATED_VARIABLE}"
echo "model=$(getprop ro.product.model 2>/dev/null)"
echo "release=$(getprop ro.build.version.release 2>/dev/null)"
echo "virtual=$(getprop ro.boot.qemu 2>/dev/null)$(getprop ro.kernel.qemu 2>/dev/null)"
echo "online=$(cat /sys/devices/system/cpu/online 2>/dev/null)"
cd /sys/devices/system/cpu && for core in cpu[0-9]*; do
  test -r $core/cpufreq/cpuinfo_max_freq && echo "$core=$(cat $core/cpufreq/cpuinfo_max_freq)"
done
true
"""


@dataclass(frozen=True)
class Phone:
    """A phone: its `model` and Android `release` (empty if not told), its instruction set
    (``aarch64``), whether its numbers are ``measured`` or ``emulated``, and the highest
    frequency in kHz of each core that is on (empty if not told)."""

    model: str
    release: str
    machine: str
    kind: Literal["measured", "emulated"]
    speeds: Mapping[int, int]

    def fastest(self, threads: int) -> str | None:
        """The `threads` fastest cores, as ``6,7``; None when the phone has or tells fewer.

        Among equals those with higher numbers, which the system uses less for itself.
        """
        order = sorted(self.speeds, key=lambda core: (self.speeds[core], core), reverse=True)
        return ",".join(map(str, sorted(order[:threads]))) if len(order) >= threads else None


def ask(connection: Connection) -> Phone:
    """What the phone behind a `connection` is.

    Raises `DeviceError` when it is gone, or is not arm64.
    """
    text = connection.checked(_QUESTIONS, "asking the phone what it is")
    return read_phone(text, connection.serial or "")


def read_phone(text: str, serial: str) -> Phone:
    """The phone `serial` by its answers, lines of ``name=value``; raises as `ask`."""
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    machine = told.get("machine", "")
    if machine not in _ARM64:
        raise DeviceError(
            f"phone {serial} runs {machine or 'nothing known'} and not arm64 programs: "
            "take a phone whose `adb shell uname -m` says aarch64 (its system must be 64-bit too)"
        )
    online = _cores(told.get("online", ""))
    speeds = {
        int(name.removeprefix("cpu")): int(value)
        for name, value in told.items()
        if name.startswith("cpu") and value.isdigit()
    }
    emulated = told.get("emulated") == "1" or "1" in told.get("virtual", "")
    return Phone(
        model=told.get("model", ""),
        release=told.get("release", ""),
        machine=machine,
        kind="emulated" if emulated else "measured",
        speeds={core: speed for core, speed in speeds.items() if not online or core in online},
    )


def _cores(text: str) -> set[int]:
    """The cores of a list such as ``0-3,7``."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
