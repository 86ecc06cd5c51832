"""What the compiler knows of a CPU and its system: a frozen description."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Target:
    """A CPU and the system around it.

    `features` are LLVM subtarget features without the leading ``+``.  `registers` counts
    SIMD registers of `vector_bits` bits; `l1_bytes`, `l2_bytes`, `llc_bytes` are per core
    (L1 data, L2) and shared (last level).  Kernels read these fields for their default
    knobs and nothing else, so two targets with equal fields get equal code.  With `strassen`
    large products are made in seven for eight, where that is faster; it takes 7/4 of the room
    of their weights (`efcompile.kernels.strassen`).  With `pairs` its cores have pipes for
    additions beside those of the multiply-adds, which products use (`efcompile.kernels.pairs`).
    With `ask_l2` what is asked for ahead had better come to L2 than to L1
    (`efcompile.kernels.prefetch`).
    """

    name: str
    triple: str
    cpu: str
    features: tuple[str, ...]
    vector_bits: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    llc_bytes: int
    cores: int
    os: Literal["linux", "android", "ios", "macos"]
    object_format: Literal["elf", "macho"]
    strassen: bool = False
    pairs: bool = False
    ask_l2: bool = False

    @property
    def arch(self) -> Literal["x86_64", "aarch64"]:
        """The instruction set, from the triple's first field."""
        return "x86_64" if self.triple.startswith("x86_64") else "aarch64"

    @property
    def lanes(self) -> int:
        """float32 elements in one SIMD register."""
        return self.vector_bits // 32
