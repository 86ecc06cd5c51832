"""Short names of targets: a system, a core, and what its chip has that others do not."""

from dataclasses import dataclass, field
from typing import Final

from efcompile.targets.cpus import KIB

LINUX: Final = "aarch64-linux-gnu"
ANDROID: Final = "aarch64-linux-android"
IOS: Final = "aarch64-apple-ios16.0"


@dataclass(frozen=True)
class Alias:
    """A named target: `triple`, a name in `CPUS`, one line for people, and fields of `Target`
    (caches in bytes) in which this chip departs from its CPU's row."""

    triple: str
    cpu: str
    summary: str
    overrides: dict[str, int] = field(default_factory=dict)


ALIASES: Final[dict[str, Alias]] = {
    "arm64": Alias(LINUX, "cortex-a76", "ARMv8.2-A phone, Linux ABI, tuned for Cortex-A76"),
    "android": Alias(ANDROID, "cortex-a76", "Android phone, tuned for Cortex-A76"),
    "cortex-a55": Alias(LINUX, "cortex-a55", "small in-order core of phones"),
    "cortex-a76": Alias(LINUX, "cortex-a76", "big core of 2019 phones"),
    "cortex-x1": Alias(LINUX, "cortex-x1", "prime core of 2021 phones"),
    "raspberrypi5": Alias(LINUX, "cortex-a76", "Raspberry Pi 5 (BCM2712)", {"l2_bytes": 512 * KIB}),
    "iphone": Alias(IOS, "apple-a11", "any iPhone that runs iOS 16"),
    "iphone12": Alias(IOS, "apple-a14", "iPhone 12 (A14)"),
    "iphone15": Alias(IOS, "apple-a16", "iPhone 15 (A16)"),
}
"""All aliases but ``host``, which is detected."""
