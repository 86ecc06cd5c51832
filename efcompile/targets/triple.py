"""LLVM target triples: which systems efcompile writes code for."""

import re
from dataclasses import dataclass
from typing import Literal

from efcompile.errors import TargetError
from efcompile.targets.features import Arch

SUPPORTED = (
    "x86_64-linux-gnu",
    "x86_64-linux-musl",
    "aarch64-linux-gnu",
    "aarch64-linux-musl",
    "aarch64-linux-android",
    "aarch64-apple-ios16.0",
    "aarch64-apple-macos13.0",
)
"""One triple per system, for messages; vendors and versions may be added."""


@dataclass(frozen=True)
class System:
    """What a triple says: `triple` in the spelling LLVM is given, and its parts."""

    triple: str
    arch: Arch
    os: Literal["linux", "android", "ios", "macos"]
    object_format: Literal["elf", "macho"]


def is_triple(name: str) -> bool:
    """Whether `name` has a triple's form (known architecture first), supported or not."""
    return re.match(r"(x86_64|amd64|aarch64|arm64)-", name) is not None


def parse_triple(text: str) -> System:
    """Read ``arch[-vendor]-os[-env]``; raise `TargetError` for a system we do not write for.

    ``arm64`` becomes ``aarch64`` (LLVM's AArch64 tables are keyed by that name), and Apple
    systems without a version get the oldest one supported, else LLVM would assume a
    version from before 64-bit phones.
    """
    arch_name, _, rest = text.partition("-")
    arch: Arch = "x86_64" if arch_name in ("x86_64", "amd64") else "aarch64"
    if is_triple(text):
        apple = re.fullmatch(r"apple-(ios|macosx?)(\d[\d.]*)?", rest)
        linux = re.fullmatch(r"(?:\w+-)?linux(?:-(gnu|musl|android\d*))?", rest)
        if apple and arch == "aarch64":
            version = apple[2] or ("16.0" if apple[1] == "ios" else "13.0")
            if apple[1] == "ios":
                return System(f"aarch64-apple-ios{version}", arch, "ios", "macho")
            return System(f"aarch64-apple-macos{version}", arch, "macos", "macho")
        if linux:
            env = linux[1] or "gnu"
            triple = f"{arch}-{rest}" if linux[1] else f"{arch}-{rest}-gnu"
            if not env.startswith("android"):
                return System(triple, arch, "linux", "elf")
            if arch == "aarch64":
                return System(triple, arch, "android", "elf")
    raise TargetError(f"no code is written for `{text}`; supported triples: {', '.join(SUPPORTED)}")
