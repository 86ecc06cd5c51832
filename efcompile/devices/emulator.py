"""`qemu-aarch64`, the user-mode emulator: runs an arm64 program here and counts its work."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from efcompile.devices.plugin import build_plugin
from efcompile.devices.signals import signal_text
from efcompile.errors import DeviceError

INSTALL = "apt-get install qemu-user"
# All of ARMv8.2-A with half floats and dot products and nothing newer: code that uses more
# than it declares dies here as it would on such a phone.
PLAIN_CPU = "cortex-a76"
PLAIN_FEATURES = frozenset({"fp-armv8", "neon", "fullfp16", "dotprod", "rdm", "lse", "crc"})

# One reserved block for all of the program's addresses.  Without it the host's address
# randomisation sometimes leaves the program's heap no room to grow in place, and its malloc
# then takes another way, of a few instructions less or more.
FIXED_ADDRESSES = ("-R", "16G")


@dataclass(frozen=True)
class InstructionCounts:
    """Executed instructions by class; `native/insn_classes.c` defines the classes."""

    fmla: int
    simd: int
    load: int
    store: int
    branch: int
    other: int

    @property
    def total(self) -> int:
        """All classes together."""
        return sum(getattr(self, f.name) for f in fields(self))

    def __sub__(self, less: "InstructionCounts") -> "InstructionCounts":
        return InstructionCounts(
            **{f.name: getattr(self, f.name) - getattr(less, f.name) for f in fields(self)}
        )


class ProgramError(DeviceError):
    """The emulated program failed, not the emulator; `how` says so in a few words."""

    def __init__(self, message: str, how: str) -> None:
        super().__init__(message)
        self.how = how


@dataclass(frozen=True)
class Trace:
    """A program's standard output, and every time that it came to a mark: the address, and the
    instructions executed until then, that one not included."""

    output: str
    arrivals: tuple[tuple[int, InstructionCounts], ...]


def find_emulator() -> Path:
    """Path of ``qemu-aarch64``, or `DeviceError` with the line that installs it."""
    found = shutil.which("qemu-aarch64")
    if found is None:
        raise DeviceError(f"the emulator qemu-aarch64 is not installed. Install it: {INSTALL}")
    return Path(found)


def emulator_version() -> str:
    """QEMU's version, such as ``7.2.22``."""
    done = subprocess.run([find_emulator(), "--version"], capture_output=True, text=True)
    words = done.stdout.split()
    return words[2] if done.returncode == 0 and len(words) > 2 else "unknown"


def cpu_model(features: Sequence[str]) -> str:
    """The emulated CPU for code that uses `features`: `PLAIN_CPU` where that suffices."""
    return PLAIN_CPU if PLAIN_FEATURES.issuperset(features) else "max"


def emulate(
    command: Sequence[str | Path],
    *,
    cpu: str = "max",
    timeout: float = 600,
    options: Sequence[str | Path] = (),
) -> str:
    """Run the arm64 program ``command[0]`` and return its standard output.

    The environment is empty, for repeatable counts; `options` are the emulator's own, of which
    ``-L`` gives shared libraries and ``-E`` variables.  `timeout` is in seconds.  Raises
    `DeviceError` when the emulator is missing, and a `ProgramError` when the program fails or
    does not end in time.
    """
    return _run(options, command, cpu, timeout)


def count_instructions(
    command: Sequence[str | Path],
    *,
    cpu: str = "max",
    timeout: float = 600,
    options: Sequence[str | Path] = (),
) -> InstructionCounts:
    """Run a single-threaded arm64 program as `emulate` does and count its instructions.

    The counts of equal runs are equal.  Raises `DeviceError` as `emulate` does, and when the
    emulator loads no plugins; `ToolchainError` when the plugin cannot be built.
    """
    find_emulator()
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "counts.json"
        _run([*options, *_plugin(out=out)], command, cpu, timeout)
        counts = json.loads(out.read_text())
    return InstructionCounts(**counts)


def trace_marks(
    command: Sequence[str | Path],
    marks: Collection[int],
    *,
    cpu: str = "max",
    timeout: float = 600,
    options: Sequence[str | Path] = (),
) -> Trace:
    """Run a program as `count_instructions` does, watching it come to the addresses `marks`
    (first instructions of functions).  Raises as `count_instructions` does.
    """
    find_emulator()
    with tempfile.TemporaryDirectory() as scratch:
        places = {name: Path(scratch) / name for name in ("out", "marks", "trace")}
        places["marks"].write_text("\n".join(f"{address:x}" for address in marks))
        output = _run([*options, *_plugin(**places)], command, cpu, timeout)
        lines = places["trace"].read_text().splitlines()
    found = []
    for line in lines:
        address, *counts = line.split()
        found.append((int(address, 16), InstructionCounts(*map(int, counts))))
    return Trace(output, tuple(found))


def count_at_marks(
    command: Sequence[str | Path],
    marks: Collection[int],
    *,
    cpu: str = "max",
    timeout: float = 600,
    options: Sequence[str | Path] = (),
) -> list[tuple[int, InstructionCounts]]:
    """The arrivals of `trace_marks`."""
    return list(trace_marks(command, marks, cpu=cpu, timeout=timeout, options=options).arrivals)


def _plugin(**files: Path) -> list[str]:
    """The emulator's options for counting; `files` are the plugin's own."""
    # QEMU's option syntax: a comma in a value is written twice.
    settings = "".join(f",{name}={_doubled(path)}" for name, path in files.items())
    return [*FIXED_ADDRESSES, "-plugin", f"file={_doubled(build_plugin())}{settings}"]


def _run(
    options: Sequence[str | Path], command: Sequence[str | Path], cpu: str, timeout: float
) -> str:
    line = [find_emulator(), "-cpu", cpu, *options, *command]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=timeout, env={})
    except subprocess.TimeoutExpired as error:
        how = f"did not end within {timeout:g} s"
        raise ProgramError(f"{command[0]} {how} under {line[0]}; raise the timeout", how) from error
    if done.returncode != 0:
        how = (
            f"ended by {signal_text(-done.returncode)}"
            if done.returncode < 0
            else f"exited with status {done.returncode}"
        )
        said = done.stderr.strip() or "no message"
        where = f"{command[0]} {how} under {line[0]} -cpu {cpu}: {said}"
        if "plugin" in said:
            raise DeviceError(
                f"{where} (QEMU 6.0 to 8.2, not statically linked, loads ours: {INSTALL})"
            )
        raise ProgramError(where, how)
    return done.stdout


def _doubled(path: Path) -> str:
    return str(path).replace(",", ",,")
