"""Linking for Android without its SDK.

The loader only reads names: which libraries are needed, and which symbols of them.  So the
library is linked against empty ones with bionic's names, that offer what we allow ourselves.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from efcompile.bundle.abi import LIBC, LIBM, PTHREAD
from efcompile.bundle.toolchain import Toolchain, run

PAGE_BYTES = 16384
"""Android 15 runs on devices with pages of this size; segments must be aligned to it."""


def link_android(
    toolchain: Toolchain,
    objects: Sequence[Path],
    output: Path,
    scratch: Path,
    more: Iterable[str] = (),
) -> Path:
    """Link a shared library that needs libc.so, and libm.so where a kernel calls it.

    `scratch` is a folder for the stand-ins of bionic's libraries; `more` are functions of libc
    that a bundle may not use and this library may.
    """
    allowed = (LIBC | PTHREAD) - {"bzero", "sysctlbyname"}
    libc = _stub(toolchain, "libc.so", allowed.union(more), scratch)
    libm = _stub(toolchain, "libm.so", LIBM, scratch)
    page = f"-Wl,-z,max-page-size={PAGE_BYTES}"
    return toolchain.link_shared(objects, output, [page, "-nostdlib", libm, libc])


def _stub(toolchain: Toolchain, name: str, symbols: Iterable[str], scratch: Path) -> Path:
    source = scratch / f"{name}.c"
    source.write_text("".join(f"void {symbol}(void) {{}}\n" for symbol in sorted(symbols)))
    output = scratch / name
    flags = ["-ffreestanding", "-fno-builtin", "-fPIC", "-w", "-nostdlib", "-shared"]
    run([*toolchain.compiler, *flags, f"-Wl,-soname,{name}", source, "-o", output])
    return output
