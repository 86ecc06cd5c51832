"""Tiny arm64 programs for tests of the emulator."""

import shutil
import subprocess
from pathlib import Path

import pytest

CROSS_GCC = "aarch64-linux-gnu-gcc"

needs_arm64 = pytest.mark.skipif(
    shutil.which(CROSS_GCC) is None or shutil.which("qemu-aarch64") is None,
    reason="apt-get install qemu-user gcc-aarch64-linux-gnu",
)


def assemble(text: str, directory: Path) -> Path:
    """A static program from A64 assembly that defines `_start`; no libc in it."""
    source, program = directory / "program.s", directory / "program"
    source.write_text(text)
    flags = ["-nostdlib", "-static", "-march=armv8.4-a+fp16+fp16fml"]
    subprocess.run([CROSS_GCC, *flags, "-o", program, source], check=True)
    return program
