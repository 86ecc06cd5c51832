"""Linking trials: one program, or one library for TVM's RPC server, for a batch of them.

Code and data are apart: linking takes a fraction of a second, however large the arrays.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from efcompile.bundle.android import link_android
from efcompile.bundle.objects import HALF_HELPERS, privatise
from efcompile.bundle.render import NATIVE, render
from efcompile.bundle.toolchain import Toolchain, object_toolchain, static_toolchain
from efcompile.bundle.trial import Outcome, Part, PartKind, Step, Trial, TrialSettings
from efcompile.bundle.trial_blob import write_blob
from efcompile.errors import BundleError
from efcompile.targets.target import Target

__all__ = [
    "ENTRY",
    "STATUSES",
    "Outcome",
    "Part",
    "PartKind",
    "Step",
    "Trial",
    "TrialLibrary",
    "TrialProgram",
    "TrialSettings",
    "entry_settings",
    "link_trial_library",
    "link_trials",
    "program_options",
]

ENTRY: Final = "efcompile_trial"
"""What the library exports to TVM; `native/ef_trial_ffi.c` describes it."""

STATUSES: Final[Mapping[int, str]] = {
    -1: "bad arguments",
    -2: "not the blob of this program, or not all of it",
    -3: "no such trial",
    -4: "not enough memory",
    -5: "cannot start the threads",
    -6: "wrote outside of its arrays",
}
"""What a negative result of `ENTRY` means, in the program's own words."""


@dataclass(frozen=True)
class TrialProgram:
    """A static executable, `native/ef_trial_main.c`, and the data it takes as its argument."""

    executable: Path
    blob: Path


@dataclass(frozen=True)
class TrialLibrary:
    """A shared library that exports `ENTRY`, and the bytes to pass to it as a uint8 tensor."""

    library: Path
    blob: Path


def link_trials(trials: Sequence[Trial], target: Target, folder: Path) -> TrialProgram:
    """Link a program of all `trials` in `folder`, which must be empty.

    Raises `BundleError` for a trial that is not of one piece or a target whose programs cannot
    be linked here, `ToolchainError` when a compiler or linker is missing or fails.
    """
    toolchain = static_toolchain(_linkable(target))
    blob, code = _write(trials, toolchain, folder)
    fixed = _fixed(toolchain, ("ef_trial_main", "ef_trial", "ef_trial_blob", "ef_pool"), folder)
    return TrialProgram(toolchain.link_static([*fixed, *code], folder / "trials"), blob)


def link_trial_library(trials: Sequence[Trial], target: Target, folder: Path) -> TrialLibrary:
    """Link a library of all `trials` in `folder`, which must be empty; raises as `link_trials`."""
    toolchain = object_toolchain(_linkable(target))
    blob, code = _write(trials, toolchain, folder)
    fixed = _fixed(toolchain, ("ef_trial_ffi", "ef_trial", "ef_trial_blob", "ef_pool"), folder)
    output = folder / "libtrials.so"
    if target.os == "android":
        link_android(toolchain, [*fixed, *code], output, folder, more=["madvise"])
    else:
        toolchain.link_shared([*fixed, *code], output)
    return TrialLibrary(output, blob)


def program_options(settings: TrialSettings, cores: str | None) -> list[str]:
    """The program's options for `settings`, on `cores` (None: wherever the system likes)."""
    pinned = [] if cores is None else ["--cores", cores]
    return [
        *("--warmup", str(settings.warmup)),
        *("--seconds", f"{settings.seconds:.9f}"),
        *("--least", str(settings.least)),
        *("--rotate", str(settings.rotate_bytes)),
        *("--threads", str(settings.threads)),
        *pinned,
    ]


def entry_settings(settings: TrialSettings) -> NDArray[np.int64]:
    """What `ENTRY` takes for `settings`: int64 [5]."""
    nanoseconds = round(settings.seconds * 1e9)
    values = (settings.warmup, nanoseconds, settings.least, settings.rotate_bytes)
    return np.array([*values, settings.threads], np.int64)


def _linkable(target: Target) -> Target:
    if target.object_format != "elf":
        raise BundleError(
            f"trials for {target.triple} cannot be linked here: Apple's own linker is needed. "
            "Tune for an arm64 Linux or Android target"
        )
    return target


def _write(trials: Sequence[Trial], toolchain: Toolchain, folder: Path) -> tuple[Path, list[Path]]:
    """The blob, and the objects of all kernels and of their table."""
    kernels = _Kernels()
    rows = [[kernels.row(step) for step in trial.steps] for trial in trials]
    objects = []
    digest = hashlib.sha256()
    for i, (code, symbol) in enumerate(kernels.found):
        name = _name(i)
        names = {symbol: name} | {helper: f"{name}{helper}" for helper in HALF_HELPERS}
        private = privatise(code, names)
        digest.update(private)
        objects.append(folder / f"{name}.o")
        objects[-1].write_bytes(private)
    blob = folder / "trials.bin"
    identity = write_blob(trials, rows, digest.digest(), blob)
    table = [{"symbol": _name(i), "arity": n} for i, n in enumerate(kernels.found.values())]
    source = folder / "ef_trial_table.c"
    source.write_text(render("ef_trial_table.c.j2", {"kernels": table, "id": list(identity)}))
    return blob, [toolchain.compile(source, folder / "ef_trial_table.o", [NATIVE]), *objects]


def _name(row: int) -> str:
    """The symbol a kernel gets: candidates of one kernel may well have the same."""
    return f"ef_k{row}"


class _Kernels:
    """The different kernels of a batch, (code, symbol), and how many arrays each takes."""

    def __init__(self) -> None:
        self.found: dict[tuple[bytes, str], int] = {}
        self._rows: dict[tuple[bytes, str], int] = {}
        self._code: dict[Path, bytes] = {}

    def row(self, step: Step) -> int:
        """The position of a step's kernel, a new one or one that was there before."""
        if step.object not in self._code:
            self._code[step.object] = step.object.read_bytes()
        kernel = (self._code[step.object], step.symbol)
        arity = self.found.setdefault(kernel, len(step.args))
        if arity != len(step.args):
            raise BundleError(
                f"kernel {step.symbol!r} is called with {len(step.args)} arrays and with {arity}"
            )
        return self._rows.setdefault(kernel, len(self._rows))


def _fixed(toolchain: Toolchain, sources: Sequence[str], folder: Path) -> list[Path]:
    """Objects, in `folder`, of the C sources that are the same for every batch."""
    with ThreadPoolExecutor(len(sources)) as pool:
        codes = list(pool.map(lambda source: _compiled(toolchain, source), sources))
    objects = [folder / f"{source}.o" for source in sources]
    for path, code in zip(objects, codes, strict=True):
        path.write_bytes(code)
    return objects


@cache
def _compiled(toolchain: Toolchain, source: str) -> bytes:
    """One object, compiled once in a process."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / f"{source}.o"
        return toolchain.compile(NATIVE / f"{source}.c", output, [NATIVE]).read_bytes()
