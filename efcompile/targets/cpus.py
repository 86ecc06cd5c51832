"""CPUs efcompile knows: what their cores can do and how much cache feeds them.

Cache sizes are those of common chips with that core (vendors choose them); they only steer
default tile sizes.  L2 is the share of one core where cores share it.  `cores` counts the
cluster that a model runs on, not the small cores beside it.
"""

from dataclasses import dataclass
from typing import Final

from efcompile.targets.features import AVX512, Arch

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True)
class Cpu:
    """A core, by LLVM's name for the code it gets, and typical caches in bytes.

    `llvm` differs from the public name for cores with SVE: LLVM's own name would let it emit
    SVE, and our kernels are 128-bit NEON, so such a core gets the code of its nearest
    relative without SVE.
    """

    arch: Arch
    llvm: str
    features: tuple[str, ...]
    l1_bytes: int
    l2_bytes: int
    llc_bytes: int
    cores: int


NEON: Final = ("neon",)
NEON_FP16: Final = ("neon", "fullfp16")
NEON_DOT: Final = ("neon", "fullfp16", "dotprod")
# Cores with AVX2 all have the small extensions of x86-64-v3 too (bmi2, f16c, movbe ...):
# checking these two is checking the level.
V3: Final = ("avx2", "fma")
V4: Final = (*V3, *AVX512, "avx512cd")


def _arm(llvm: str, features: tuple[str, ...], l1: int, l2: int, llc: int, cores: int) -> Cpu:
    return Cpu("aarch64", llvm, features, l1 * KIB, l2 * KIB, llc * KIB, cores)


def _x86(llvm: str, features: tuple[str, ...], l1: int, l2: int, llc: int) -> Cpu:
    return Cpu("x86_64", llvm, features, l1 * KIB, l2 * KIB, llc * KIB, cores=4)


CPUS: Final[dict[str, Cpu]] = {
    # name                     LLVM's name      features  L1 KiB  L2    last   cores
    "generic": _arm("generic", NEON, 32, 256, 1024, 4),
    "cortex-a53": _arm("cortex-a53", NEON, 32, 128, 512, 4),
    "cortex-a55": _arm("cortex-a55", NEON_DOT, 32, 128, 1024, 4),
    "cortex-a57": _arm("cortex-a57", NEON, 32, 512, 2048, 4),
    "cortex-a72": _arm("cortex-a72", NEON, 32, 256, 1024, 4),
    "cortex-a73": _arm("cortex-a73", NEON, 64, 512, 2048, 4),
    "cortex-a75": _arm("cortex-a75", NEON_DOT, 64, 256, 2048, 4),
    "cortex-a76": _arm("cortex-a76", NEON_DOT, 64, 256, 2048, 4),
    "cortex-a77": _arm("cortex-a77", NEON_DOT, 64, 256, 4096, 4),
    "cortex-a78": _arm("cortex-a78", NEON_DOT, 64, 512, 4096, 4),
    "cortex-x1": _arm("cortex-x1", NEON_DOT, 64, 1024, 4096, 4),
    "neoverse-n1": _arm("neoverse-n1", NEON_DOT, 64, 1024, 32768, 4),
    # With SVE, which stays unused (see `Cpu`).
    "cortex-a510": _arm("cortex-a55", NEON_DOT, 32, 128, 4096, 4),
    "cortex-a520": _arm("cortex-a55", NEON_DOT, 32, 128, 4096, 4),
    "cortex-a710": _arm("cortex-a78", NEON_DOT, 64, 512, 6144, 4),
    "cortex-a715": _arm("cortex-a78", NEON_DOT, 64, 512, 8192, 4),
    "cortex-a720": _arm("cortex-a78", NEON_DOT, 64, 512, 8192, 4),
    "cortex-x2": _arm("cortex-x1", NEON_DOT, 64, 1024, 6144, 4),
    "cortex-x3": _arm("cortex-x1", NEON_DOT, 64, 1024, 8192, 4),
    "cortex-x4": _arm("cortex-x1", NEON_DOT, 64, 2048, 8192, 4),
    "neoverse-n2": _arm("neoverse-n1", NEON_DOT, 64, 1024, 32768, 4),
    "neoverse-v1": _arm("neoverse-n1", NEON_DOT, 64, 1024, 32768, 4),
    "neoverse-v2": _arm("neoverse-n1", NEON_DOT, 64, 2048, 32768, 4),
    # Apple's performance cores; two of them share an L2 in the A series.
    "apple-a11": _arm("apple-a11", NEON_FP16, 64, 4096, 8192, 2),
    "apple-a12": _arm("apple-a12", NEON_FP16, 128, 4096, 8192, 2),
    "apple-a13": _arm("apple-a13", NEON_DOT, 128, 4096, 16384, 2),
    "apple-a14": _arm("apple-a14", NEON_DOT, 128, 4096, 16384, 2),
    "apple-a15": _arm("apple-a15", NEON_DOT, 128, 6144, 32768, 2),
    "apple-a16": _arm("apple-a16", NEON_DOT, 128, 8192, 24576, 2),
    "apple-a17": _arm("apple-a17", NEON_DOT, 128, 8192, 24576, 2),
    "x86-64-v3": _x86("x86-64-v3", V3, 32, 512, 8192),
    "x86-64-v4": _x86("x86-64-v4", V4, 32, 1024, 16384),
    "haswell": _x86("haswell", V3, 32, 256, 8192),
    "skylake": _x86("skylake", V3, 32, 256, 8192),
    "alderlake": _x86("alderlake", V3, 48, 1280, 24576),
    "skylake-avx512": _x86("skylake-avx512", V4, 32, 1024, 16384),
    "cascadelake": _x86("cascadelake", V4, 32, 1024, 16384),
    "icelake-server": _x86("icelake-server", V4, 48, 1280, 24576),
    "sapphirerapids": _x86("sapphirerapids", V4, 48, 2048, 32768),
    "znver2": _x86("znver2", V3, 32, 512, 16384),
    "znver3": _x86("znver3", V3, 32, 512, 32768),
    "znver4": _x86("znver4", V4, 32, 1024, 32768),
    "znver5": _x86("znver5", V4, 48, 1024, 32768),
}
"""Every CPU a target can name."""

DEFAULT_CPU: Final[dict[Arch, str]] = {"x86_64": "x86-64-v3", "aarch64": "generic"}
"""What a bare triple gets: the least that the kernels run on."""
