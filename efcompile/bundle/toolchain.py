"""Compilers, archivers and linkers: which, and with which arguments, for each target.

This machine's own ``cc`` for this machine, zig (the PyPI package ``ziglang``) for every
other, Debian's cross gcc where zig is missing.  ``EFCOMPILE_CC`` and ``EFCOMPILE_AR`` name
other commands, for all targets.
"""

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from efcompile.errors import ToolchainError
from efcompile.targets.target import Target

_ZIG = (sys.executable, "-m", "ziglang")
_C_FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-Wall", "-Wextra", "-fno-stack-protector")
# Fortified or outlined helpers would be symbols outside libc, libm and threads.
_C_FLAGS_ALWAYS = (*_C_FLAGS, "-U_FORTIFY_SOURCE")
# Every kernel's object brings TVM's half-float helpers, in a section that is rarely used.
_LINK_FLAGS = ("-Wl,-S", "-Wl,--gc-sections")


@dataclass(frozen=True)
class Toolchain:
    """Command prefixes for C sources and objects of one system; arguments never meet a shell."""

    compiler: tuple[str, ...]
    archiver: tuple[str, ...]
    flags: tuple[str, ...] = ()

    def compile(self, source: Path, output: Path, include: Sequence[Path]) -> Path:
        """Compile one C source to a position-independent object."""
        folders = [f"-I{folder}" for folder in include]
        run([*self.compiler, *_C_FLAGS_ALWAYS, *self.flags, *folders, "-c", source, "-o", output])
        return output

    def archive(self, objects: Sequence[Path], output: Path) -> Path:
        """Put objects into a static library, without times or owners."""
        run([*self.archiver, "rcsD", output, *objects])
        return output

    def link_shared(
        self,
        objects: Sequence[Path],
        output: Path,
        extra: Sequence[str | Path] = (
            "-lm",
            "-lpthread",
        ),
    ) -> Path:
        """Link a shared library named after `output`; an undefined symbol is an error."""
        options = [f"-Wl,-soname,{output.name}", "-Wl,-z,defs", *_LINK_FLAGS, "-Wl,--as-needed"]
        run([*self.compiler, "-shared", "-o", output, *options, *objects, *extra])
        return output

    def link_static(self, objects: Sequence[Path], output: Path) -> Path:
        """Link an executable that needs nothing of the system it runs on."""
        options = ["-static", *_LINK_FLAGS]
        run([*self.compiler, *options, "-o", output, *objects, "-lm", "-lpthread"])
        return output


def object_toolchain(target: Target) -> Toolchain:
    """The toolchain for a bundle's library and archive; `ToolchainError` when there is none."""
    flags = ("-mno-outline-atomics",) if target.arch == "aarch64" else ()
    if target.object_format == "macho":
        return _overridden(()) or _zig_apple(target)
    if _native(target) and shutil.which("cc"):
        return _overridden(flags) or Toolchain(("cc",), ("ar",), flags)
    # Android's headers are not needed: musl's types have bionic's sizes.
    musl = target.os == "android" or "musl" in target.triple
    system = f"{target.arch}-linux-{'musl' if musl else 'gnu.2.17'}"
    return _overridden(flags) or _zig_linux(system, flags) or _gcc(target, flags)


def static_toolchain(target: Target) -> Toolchain:
    """The toolchain for a Linux or Android target's static executable."""
    flags = ("-mno-outline-atomics",) if target.arch == "aarch64" else ()
    if _native(target) and shutil.which("cc"):
        return _overridden(flags) or Toolchain(("cc",), ("ar",), flags)
    zig = _zig_linux(f"{target.arch}-linux-musl", flags)
    return _overridden(flags) or zig or _gcc(target, flags)


def run(command: Sequence[str | Path]) -> None:
    """Run a tool; its failure is a `ToolchainError` with the command and what it said."""
    shown = shlex.join(str(part) for part in command)
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise ToolchainError(f"cannot run `{shown}`: {command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip()[-4000:]
        raise ToolchainError(f"`{shown}` failed with exit code {error.returncode}:\n{said}") from (
            error
        )


def _native(target: Target) -> bool:
    same = sys.platform == "linux" and platform.machine() == target.arch
    return same and target.os == "linux" and "musl" not in target.triple


def _overridden(flags: tuple[str, ...]) -> Toolchain | None:
    compiler = os.environ.get("EFCOMPILE_CC")
    if not compiler:
        return None
    archiver = os.environ.get("EFCOMPILE_AR", "ar")
    return Toolchain(tuple(shlex.split(compiler)), tuple(shlex.split(archiver)), flags)


def _zig_home() -> Path | None:
    spec = importlib.util.find_spec("ziglang")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _zig_linux(system: str, flags: tuple[str, ...]) -> Toolchain | None:
    if _zig_home() is None:
        return None
    zig_flags = (*flags, "-fno-sanitize=undefined")
    return Toolchain((*_ZIG, "cc", "-target", system), (*_ZIG, "ar"), zig_flags)


def _zig_apple(target: Target) -> Toolchain:
    home = _zig_home()
    if home is None:
        raise ToolchainError(
            f"no compiler for {target.triple}: run `pip install 'efcompile[cross]'`"
        )
    version = re.search(r"[\d.]+$", target.triple)
    system = f"aarch64-{target.os}" + (f".{version[0]}" if version else "")
    # zig does not offer its own macOS headers to iOS; what the driver needs is the same.
    headers = home / "lib/libc/include/any-darwin-any"
    flags = ("-fno-sanitize=undefined", "-isystem", str(headers))
    return Toolchain((*_ZIG, "cc", "-target", system), (*_ZIG, "ar"), flags)


def _gcc(target: Target, flags: tuple[str, ...]) -> Toolchain:
    prefix = f"{target.arch}-linux-gnu-"
    if shutil.which(f"{prefix}gcc") is None:
        package = f"gcc-{target.arch.replace('_', '-')}-linux-gnu"
        raise ToolchainError(
            f"no compiler and linker for {target.triple}: run `pip install 'efcompile[cross]'`, "
            f"or `apt-get install {package}`"
        )
    return Toolchain((f"{prefix}gcc",), (f"{prefix}ar",), flags)
