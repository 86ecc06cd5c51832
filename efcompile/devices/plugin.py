"""Builds small C libraries for this machine, once per source: the emulator's counting plugin."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from efcompile.errors import ToolchainError

SOURCE = Path(__file__).parent / "native" / "insn_classes.c"


def cache_directory() -> Path:
    """Where files that can be made again are kept: ``$XDG_CACHE_HOME/efcompile``."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "efcompile"


def build_plugin() -> Path:
    """The compiled `SOURCE`; raises as `build_library` does."""
    return build_library(SOURCE, "counting instructions")


def build_library(source: Path, purpose: str) -> Path:
    """`source` as a shared library, made by the C compiler (``$CC``, else ``cc``) on first use.

    The file appears under its final name only when complete, so processes may race.  Raises
    `ToolchainError`, which says for what `purpose`, when there is no compiler or it fails.
    """
    key = hashlib.sha256(source.read_bytes() + platform.machine().encode()).hexdigest()[:16]
    plugin = cache_directory() / "plugins" / f"{source.stem}-{key}.so"
    if plugin.exists():
        return plugin
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ToolchainError(
            f"{purpose} needs a C compiler, once, to build {source.name}; none was found as "
            "`cc` or $CC. Install one: apt-get install gcc libc6-dev"
        )
    plugin.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plugin.parent) as scratch:
        built = Path(scratch) / plugin.name
        flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
        done = subprocess.run(
            [compiler, *flags, "-o", str(built), str(source)], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ToolchainError(f"{compiler} could not build {source}:\n{done.stderr.strip()}")
        built.replace(plugin)
    return plugin
