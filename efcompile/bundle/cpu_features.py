"""Which CPU features a bundle needs, and how its driver looks for each on the running CPU.

Names are LLVM's.  A row is the C initialiser of an ``ef_feature`` (`native/ef_cpu.h`): CPUID
position and saved register state on x86-64, a bit of the auxiliary vector on Linux and
Android, a sysctl on Apple's systems.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from efcompile.errors import TargetError
from efcompile.targets.target import Target

_YMM, _ZMM, _TILES = 0x6, 0xE6, 0x60000
_EAX, _EBX, _ECX, _EDX = range(4)


def _leaf(leaf: int, subleaf: int, reg: int, bits: Mapping[str, int], xcr0: int) -> dict[str, str]:
    return {name: f"{leaf:#x}u, {subleaf}, {reg}, {bit}, {xcr0:#x}u" for name, bit in bits.items()}


_SSE: Final = {"sse3": 0, "ssse3": 9, "sse4.1": 19, "sse4.2": 20}
_CODE_X86: Final = {
    **_leaf(1, 0, _ECX, {**_SSE, "movbe": 22, "popcnt": 23}, 0),
    **_leaf(1, 0, _ECX, {"fma": 12, "avx": 28, "f16c": 29}, _YMM),
    **_leaf(7, 0, _EBX, {"bmi": 3, "bmi2": 8}, 0),
    **_leaf(7, 0, _EBX, {"avx2": 5}, _YMM),
    **_leaf(7, 0, _EBX, {"avx512f": 16, "avx512dq": 17, "avx512ifma": 21, "avx512cd": 28}, _ZMM),
    **_leaf(7, 0, _EBX, {"avx512bw": 30, "avx512vl": 31}, _ZMM),
    **_leaf(7, 0, _ECX, {"avx512vbmi": 1, "avx512vbmi2": 6, "avx512vnni": 11}, _ZMM),
    **_leaf(7, 0, _ECX, {"avx512bitalg": 12, "avx512vpopcntdq": 14}, _ZMM),
    **_leaf(7, 0, _ECX, {"gfni": 8}, 0),
    **_leaf(7, 0, _EDX, {"avx512vp2intersect": 8, "avx512fp16": 23}, _ZMM),
    **_leaf(7, 1, _EAX, {"avx512bf16": 5}, _ZMM),
    **_leaf(7, 1, _EAX, {"avxvnni": 4, "avxifma": 23}, _YMM),
    **_leaf(7, 1, _EDX, {"avxvnniint8": 4, "avxneconvert": 5, "avxvnniint16": 10}, _YMM),
    **_leaf(0x80000001, 0, _ECX, {"lzcnt": 5, "tbm": 21}, 0),
    **_leaf(0x80000001, 0, _ECX, {"xop": 11, "fma4": 16}, _YMM),
}
_OTHER_X86: Final = {
    **_leaf(1, 0, _ECX, {"pclmul": 1, "cx16": 13, "aes": 25}, 0),
    **_leaf(7, 0, _EBX, {"sha": 29}, 0),
    **_leaf(7, 0, _ECX, {"vaes": 9, "vpclmulqdq": 10}, _YMM),
    **_leaf(7, 0, _EDX, {"amx-bf16": 22, "amx-tile": 24, "amx-int8": 25}, _TILES),
    **_leaf(0x80000001, 0, _ECX, {"sse4a": 6}, 0),
}

_HWCAP, _HWCAP2 = 16, 26


def _auxv(word: int, bits: Mapping[str, int]) -> dict[str, str]:
    return {name: f"{word}, {bit}" for name, bit in bits.items()}


_CODE_LINUX: Final = {
    **_auxv(_HWCAP, {"fp-armv8": 0, "neon": 1, "fullfp16": 10, "rdm": 12, "jsconv": 13}),
    **_auxv(_HWCAP, {"complxnum": 14, "dotprod": 20, "sve": 22, "fp16fml": 23}),
    **_auxv(_HWCAP2, {"sve2": 1, "fptoint": 8, "i8mm": 13, "bf16": 14}),
}
_OTHER_LINUX: Final = _auxv(
    _HWCAP, {"aes": 3, "sha2": 6, "crc": 7, "lse": 8, "rcpc": 15, "sha3": 17, "sm4": 19}
)


def _sysctl(names: Mapping[str, str]) -> dict[str, str]:
    return {name: f'"hw.optional.{key}"' for name, key in names.items()}


_CODE_APPLE: Final = _sysctl(
    {
        "fp-armv8": "floatingpoint",
        "neon": "AdvSIMD",
        "fullfp16": "arm.FEAT_FP16",
        "rdm": "arm.FEAT_RDM",
        "jsconv": "arm.FEAT_JSCVT",
        "complxnum": "arm.FEAT_FCMA",
        "dotprod": "arm.FEAT_DotProd",
        "fp16fml": "arm.FEAT_FHM",
        "fptoint": "arm.FEAT_FRINTTS",
        "i8mm": "arm.FEAT_I8MM",
        "bf16": "arm.FEAT_BF16",
    }
)
_OTHER_APPLE: Final = _sysctl(
    {
        "aes": "arm.FEAT_AES",
        "sha2": "arm.FEAT_SHA256",
        "crc": "armv8_crc32",
        "lse": "arm.FEAT_LSE",
        "rcpc": "arm.FEAT_LRCPC",
        "sha3": "arm.FEAT_SHA3",
    }
)


@dataclass(frozen=True)
class Feature:
    """A CPU feature and the C row that finds it."""

    name: str
    row: str


def required_features(target: Target, enabled: Iterable[str]) -> tuple[Feature, ...]:
    """What the CPU must have: all that `target` lists, and what its cpu lets LLVM use.

    Of the `enabled` features that only come with the cpu's name, those count that can appear
    in code for arrays of numbers: a core without crypto extensions still runs a bundle made
    for its sister with them.  Raises `TargetError` for a listed feature that no check is
    known for, since code that uses it could die on an illegal instruction.
    """
    code, other = _tables(target)
    known = code | other
    unknown = [name for name in target.features if name not in known]
    if unknown:
        raise TargetError(
            f"target {target.name!r}: no way to check for the CPU features {', '.join(unknown)} "
            f"on {target.os}; known: {', '.join(sorted(known))}"
        )
    names = {*target.features, *(name for name in enabled if name in code)}
    return tuple(Feature(name, known[name]) for name in sorted(names))


def _tables(target: Target) -> tuple[dict[str, str], dict[str, str]]:
    if target.arch == "x86_64":
        return _CODE_X86, _OTHER_X86
    if target.object_format == "macho":
        return _CODE_APPLE, _OTHER_APPLE
    return _CODE_LINUX, _OTHER_LINUX
