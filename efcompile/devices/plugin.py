"""Builds the emulator's counting plugin, once per source and machine."""

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
    """The compiled `SOURCE`, made by the C compiler (``$CC``, else ``cc``) on first use.

    The file appears under its final name only when complete, so processes may race.  Raises
    `ToolchainError` when there is no compiler or it fails.
    """
    source = SOURCE.read_bytes()
    key = hashlib.sha256(source + platform.machine().encode()).hexdigest()[:16]
    plugin = cache_directory() / "plugins" / f"insn_classes-{key}.so"
    if plugin.exists():
        return plugin
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ToolchainError(
            "counting instructions needs a C compiler, once, to build the emulator's plugin; "
            "none was found as `cc` or $CC. Install one: apt-get install gcc libc6-dev"
        )
    plugin.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plugin.parent) as scratch:
        built = Path(scratch) / plugin.name
        flags = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
        done = subprocess.run(
            [compiler, *flags, "-o", str(built), str(SOURCE)], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise ToolchainError(f"{compiler} could not build {SOURCE}:\n{done.stderr.strip()}")
        built.replace(plugin)
    return plugin
