"""CPU features efcompile may ask for, and what the system calls them.

Only these are accepted in a target: each can be looked up on the machine that is to run the
code, so that a bundle is refused with a message instead of dying on an illegal instruction.
"""

from typing import Final, Literal

from efcompile.errors import TargetError

Arch = Literal["x86_64", "aarch64"]

X86_64: Final = {
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "bmi2": "bmi2",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512cd": "avx512cd",
    "avx512dq": "avx512dq",
    "avx512vl": "avx512vl",
    "avx512vnni": "avx512_vnni",
}
AARCH64: Final = {
    "neon": "asimd",
    "fullfp16": "asimdhp",
    "dotprod": "asimddp",
    "fp16fml": "asimdfhm",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "lse": "atomics",
    "crc": "crc32",
    "rdm": "asimdrdm",
}
FLAGS: Final[dict[Arch, dict[str, str]]] = {"x86_64": X86_64, "aarch64": AARCH64}
"""LLVM's name of every known feature -> its word in Linux's ``/proc/cpuinfo``, by architecture."""

REQUIRED: Final[dict[Arch, tuple[str, ...]]] = {"x86_64": ("avx2", "fma"), "aarch64": ("neon",)}
"""What the kernels cannot do without: fused multiply-adds on vectors."""

AVX512: Final = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
"""The AVX-512 of every server core since Skylake; with all four, vectors are 512 bits wide."""


def registers(arch: Arch, features: tuple[str, ...]) -> tuple[int, int]:
    """``(vector_bits, registers)`` of the SIMD file that `features` give.

    Raises `TargetError` when a feature that the kernels need is missing.
    """
    missing = [f for f in REQUIRED[arch] if f not in features]
    if missing:
        raise TargetError(
            f"the kernels for {arch} need the CPU features {', '.join(REQUIRED[arch])}; "
            f"missing: {', '.join(missing)}. Choose a CPU that has them, or add them to `features`."
        )
    if arch == "aarch64":
        return 128, 32
    return (512, 32) if set(AVX512) <= set(features) else (256, 16)
