"""Small C libraries for tests of what is done to machine code."""

import platform
import subprocess
from pathlib import Path

import pytest

from benchmarks.avx2_host import has_avx512

on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 code")
with_avx512 = pytest.mark.skipif(
    platform.machine() != "x86_64" or not has_avx512(), reason="this CPU has no AVX-512"
)

ASKING = """
#include <cpuid.h>
void ask(unsigned leaf, unsigned sub, unsigned *r) {
    __asm__ volatile(".globl first\\nfirst: cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}
unsigned found_at_load;
__attribute__((constructor)) static void at_load(void) {
    unsigned a, b, c, d;
    __asm__ volatile(".globl second\\nsecond: cpuid"
                     : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
    found_at_load = b;
}
unsigned no_site(void) { return 0x90a20f90; }
void trap(void) { __builtin_trap(); }
"""
"""Has two `cpuid`, its bytes in a number, and a `ud2` of its own."""


def shared(folder: Path, source: str, *flags: str) -> Path:
    """`source` as a shared library in `folder`."""
    code, library = folder / "lib.c", folder / "lib.so"
    code.write_text(source)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", *flags, "-o", library, code], check=True)
    return library


def symbols(library: Path) -> dict[str, int]:
    """Addresses by name."""
    listed = subprocess.run(["nm", library], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}
