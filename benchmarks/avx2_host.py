"""This machine as it is, or, where it has AVX-512, held to what a host with AVX2 only can do.

Variables of the peers do not do that: ONEDNN_MAX_CPU_ISA, for one, does not reach OpenVINO's
matrix products.  What reaches all of them is the answer of the `cpuid` instruction.  So the
command runs again, as the same process, with the loader's help (``LD_AUDIT``): before any code of
a peer's library runs, the `cpuid` instructions in it (`benchmarks/cpuid_sites.py`) are replaced by
ones that trap, and a handler answers without AVX-512, AVX10 and AMX
(`benchmarks/native/hide_avx512.c`).  The C library, which the loader sets up before all others,
is told by ``GLIBC_TUNABLES``, and torch's compiler, which asks gcc, by ``TORCHINDUCTOR_CPP_MARCH``.
Ours is compiled for ``x86-64-v3``, as it is on such a host.

None of this is believed: `benchmarks/evex_meter.py` looks at what every contestant executes.
"""

import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from benchmarks.cpuid_sites import libraries, site_list
from benchmarks.peers.peer import Peer
from efcompile.devices.plugin import build_library
from efcompile.errors import DeviceError, EfcompileError
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target

HELP = "native: this machine as it is; avx2: hold everyone to AVX2 and check that it was so"

_CPU = "x86-64-v3"
_AUDIT = Path(__file__).parent / "native" / "hide_avx512.c"
_SITES = "EFCOMPILE_CPUID_SITES"
_OLDEST_GLIBC = (2, 35)
"""Before, the loader sent every call between libraries through a slow path where there is an
audit library: it would have slowed the peers down."""
_TUNABLES = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD"


class Isa(StrEnum):
    """Instruction sets that a benchmark can be run with."""

    NATIVE = "native"
    AVX2 = "avx2"


@dataclass(frozen=True)
class Host:
    """What contestants may use: `cpu` is the one ours is compiled for (None: this machine's),
    `held` whether something had to be kept from them, `how` all that in words."""

    isa: Isa
    cpu: str | None
    held: bool
    how: str

    @cached_property
    def target(self) -> Target:
        """This host for our compiler."""
        return resolve("host", cpu=self.cpu)


NATIVE = Host(Isa.NATIVE, None, False, "nothing held back: everyone uses what this CPU has")


def held_to(isa: Isa, peers: Iterable[Peer]) -> Host:
    """The host for `isa`; runs this command again, held, where that is needed.

    For commands: whatever hinders it ends the process with a message.
    """
    try:
        return _held_to(isa, peers)
    except EfcompileError as problem:
        raise SystemExit(f"--isa {isa}: {problem}") from problem


def _held_to(isa: Isa, peers: Iterable[Peer]) -> Host:
    if isa is Isa.NATIVE:
        return NATIVE
    if platform.machine() != "x86_64":
        raise DeviceError(
            f"AVX2 is of x86-64 and this machine is {platform.machine()}: measure with --isa native"
        )
    if not has_avx512():
        return Host(isa, _CPU, False, "nothing held back: this CPU has no AVX-512")
    searched = libraries(package for peer in peers for package in peer.packages)
    wanted = environment(searched, os.environ)
    if dict(os.environ) != wanted:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
    if str(_audit()) not in Path("/proc/self/maps").read_text():
        raise DeviceError(
            "the loader passed over LD_AUDIT: it does so in processes with more rights than "
            "their user's. Run the command as an ordinary program"
        )
    lines = Path(wanted[_SITES]).read_text().splitlines()
    return Host(isa, _CPU, True, _description(lines))


def has_avx512() -> bool:
    """Whether this machine's CPU has AVX-512."""
    return "avx512f" in Path("/proc/cpuinfo").read_text().split()


def environment(hide_from: Sequence[Path], base: Mapping[str, str]) -> dict[str, str]:
    """The variables `base` with those that hide AVX-512 from the shared libraries `hide_from`,
    the C library and torch's compiler, in a process that is started with them.

    Of its own result it makes the same again.  Raises `DeviceError` where the C library cannot
    do it, `ToolchainError` without gcc or objdump.
    """
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < _OLDEST_GLIBC:
        raise DeviceError(
            f"holding peers to AVX2 needs glibc 2.35 or newer and here is {library or 'another C'} "
            f"{version}: use a newer system (a container will do), or --isa native"
        )
    return {
        **base,
        _SITES: str(site_list(hide_from)),
        "LD_AUDIT": _joined(base.get("LD_AUDIT", ""), str(_audit())),
        "GLIBC_TUNABLES": _joined(base.get("GLIBC_TUNABLES", ""), _TUNABLES),
        "TORCHINDUCTOR_CPP_MARCH": _CPU,
    }


def _audit() -> Path:
    path = build_library(_AUDIT, "holding peers to AVX2")
    if ":" in str(path):
        raise DeviceError(
            f"{path} has a colon in its path, which LD_AUDIT takes for the end of a name: set "
            "XDG_CACHE_HOME to a folder without one"
        )
    return path


def _joined(some: str, more: str) -> str:
    parts = [part for part in some.split(":") if part]
    return ":".join(parts if more in parts else [*parts, more])


def _description(lines: Sequence[str]) -> str:
    if not lines:
        return "AVX-512, AVX10 and AMX hidden from the C library"
    files = {line.partition("\t")[2] for line in lines}
    return (
        f"AVX-512, AVX10 and AMX hidden from the {len(lines)} cpuid instructions of {len(files)} "
        "libraries of the peers and from the C library"
    )
