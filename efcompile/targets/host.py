"""This machine as a `Target`: what the kernel and the C library say of it."""

import os
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from efcompile.errors import TargetError
from efcompile.targets.cpus import CPUS, V3, V4
from efcompile.targets.features import FLAGS, Arch, registers
from efcompile.targets.target import Target

ARM_PARTS: Final = {
    "0xd03": "cortex-a53",
    "0xd05": "cortex-a55",
    "0xd07": "cortex-a57",
    "0xd08": "cortex-a72",
    "0xd09": "cortex-a73",
    "0xd0a": "cortex-a75",
    "0xd0b": "cortex-a76",
    "0xd0c": "neoverse-n1",
    "0xd0d": "cortex-a77",
    "0xd40": "neoverse-v1",
    "0xd41": "cortex-a78",
    "0xd44": "cortex-x1",
    "0xd46": "cortex-a510",
    "0xd47": "cortex-a710",
    "0xd48": "cortex-x2",
    "0xd49": "neoverse-n2",
    "0xd4f": "neoverse-v2",
}
"""Part numbers of ARM's own cores (implementer 0x41) in ``/proc/cpuinfo``."""


@dataclass(frozen=True)
class Caches:
    """Bytes of data cache: L1 of a core, one core's share of L2, all of the last level."""

    l1_bytes: int
    l2_bytes: int
    llc_bytes: int


@cache
def detect_host() -> Target:
    """This machine: Linux on x86-64 with AVX2 and FMA, or on aarch64.

    On x86 the CPU is the generic level (``x86-64-v4`` or ``-v3``), not the model: kernels are
    explicit about vectors and tiles, so a model's scheduling tables bring nothing, while a
    level makes the same code, hence the same cached objects, on every machine that has it,
    and names exactly what the bundle needs.  Raises `TargetError` on other machines.
    """
    system, machine = platform.system(), platform.machine().lower()
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        raise TargetError(
            f"efcompile has only been tried on Linux hosts with x86-64 or aarch64, not on "
            f"{system} {machine}. Use such a machine (a container will do) to compile; "
            "the result may be for any target."
        )
    arch: Arch = "x86_64" if machine == "x86_64" else "aarch64"
    cpuinfo = Path("/proc/cpuinfo").read_text()
    cpu, features = cpu_of(arch, cpuinfo)
    vector_bits, count = registers(arch, features)
    available = os.sched_getaffinity(0)
    # Where big and small cores mix, the big ones are numbered last.
    caches = caches_of(Path(f"/sys/devices/system/cpu/cpu{max(available)}/cache"), cpu)
    return Target(
        name="host",
        triple=f"{arch}-linux-gnu",
        cpu=CPUS[cpu].llvm,
        features=features,
        vector_bits=vector_bits,
        registers=count,
        l1_bytes=caches.l1_bytes,
        l2_bytes=caches.l2_bytes,
        llc_bytes=caches.llc_bytes,
        cores=len(available),
        os="linux",
        object_format="elf",
        strassen=adds_beside(cpuinfo),
        pairs=adds_beside(cpuinfo) and vector_bits == 512,
        ask_l2=made_by(cpuinfo, "GenuineIntel"),
    )


def adds_beside(cpuinfo: str) -> bool:
    """Whether cores have pipes for additions beside those of the multiply-adds, from the text of
    ``/proc/cpuinfo``: AMD's since Zen (family 17h), not Intel's."""
    family = re.search(r"^cpu family\s*:\s*(\d+)$", cpuinfo, re.MULTILINE)
    return made_by(cpuinfo, "AuthenticAMD") and family is not None and int(family[1]) >= 0x17


def made_by(cpuinfo: str, vendor: str) -> bool:
    """Whether that is the vendor in the text of ``/proc/cpuinfo`` (ARM's names none)."""
    found = re.search(r"^vendor_id\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
    return found is not None and found[1] == vendor


def missing_features(target: Target) -> tuple[str, ...]:
    """The features of `target` that this machine lacks; its architecture must be this one's."""
    have = _flags(Path("/proc/cpuinfo").read_text())
    return tuple(f for f in target.features if FLAGS[target.arch][f] not in have)


def cpu_name(cpuinfo: str) -> str:
    """The model in the text of ``/proc/cpuinfo``; on ARM, which has none, the part number."""
    found = re.search(r"^(?:model name|CPU part)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def cpu_of(arch: Arch, cpuinfo: str) -> tuple[str, tuple[str, ...]]:
    """A key of `CPUS` and the features to use, from the text of ``/proc/cpuinfo``.

    Without AVX2 and FMA the result is the x86 level found nonetheless, with the features that
    are there, so that `registers` can say what is missing.
    """
    flags = _flags(cpuinfo)
    have = {feature for feature, flag in FLAGS[arch].items() if flag in flags}
    if arch == "x86_64":
        wanted = V4 if set(V4) <= have else V3
        return ("x86-64-v4" if wanted is V4 else "x86-64-v3"), tuple(f for f in wanted if f in have)
    parts = re.findall(r"^CPU part\s*:\s*(\w+)", cpuinfo, re.MULTILINE)
    implementers = set(re.findall(r"^CPU implementer\s*:\s*(\w+)", cpuinfo, re.MULTILINE))
    names = [ARM_PARTS.get(part, "generic") for part in parts] or ["generic"]
    # Where big and small cores mix, the big ones are listed last.
    cpu = names[-1] if implementers == {"0x41"} else "generic"
    if not set(CPUS[cpu].features) <= have:
        cpu = "generic"
    return cpu, tuple(f for f in ("neon", "fullfp16", "dotprod") if f in have)


def caches_of(directory: Path, cpu: str) -> Caches:
    """Cache sizes from sysfs, else from the C library, else those of `cpu`'s row in `CPUS`.

    Containers may hide sysfs, and the C library reads the sizes on x86 only.
    """
    found = _sysfs_caches(directory)
    row = CPUS[cpu]

    def size(level: int, name: str, typical: int) -> int:
        known = found.get(level, 0)
        if known <= 0 and name in os.sysconf_names:
            known = os.sysconf(name)
        return known if known > 0 else typical

    l1 = size(1, "SC_LEVEL1_DCACHE_SIZE", row.l1_bytes)
    l2 = size(2, "SC_LEVEL2_CACHE_SIZE", row.l2_bytes)
    # A chip without a third level: its second one is the last.
    last_known = 0 if 3 in found or not found else l2
    llc = last_known or size(3, "SC_LEVEL3_CACHE_SIZE", row.llc_bytes)
    return Caches(l1, l2, llc)


def _flags(cpuinfo: str) -> set[str]:
    """The words of the first ``flags`` (x86) or ``Features`` (ARM) line."""
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return set(line[1].split()) if line else set()


def _sysfs_caches(directory: Path) -> dict[int, int]:
    """Level -> bytes of data or unified cache.  L2 is divided by the cores that share it,
    where threads of one core (those that share its L1) count once."""
    sizes: dict[int, int] = {}
    sharers: dict[int, int] = {}
    for index in sorted(directory.glob("index[0-9]*")):
        try:
            kind = (index / "type").read_text().strip()
            level = int((index / "level").read_text())
            size = _bytes((index / "size").read_text().strip())
            sharers_text = (index / "shared_cpu_list").read_text().strip()
        except (OSError, ValueError):
            continue  # a kernel that does not tell this one
        if kind in ("Data", "Unified"):
            sizes[level], sharers[level] = size, _count(sharers_text)
    if 1 in sizes and 2 in sizes:
        sizes[2] //= max(1, sharers[2] // sharers[1])
    return sizes


def _bytes(text: str) -> int:
    """``48K`` -> 49152."""
    return int(text[:-1]) * {"K": 1024, "M": 1024**2, "G": 1024**3}[text[-1]]


def _count(cpu_list: str) -> int:
    """How many CPUs ``0-3,8`` names."""
    ends = [part.split("-") for part in cpu_list.split(",")]
    return sum(int(end[-1]) - int(end[0]) + 1 for end in ends)
