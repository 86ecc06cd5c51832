"""Is a device fit to run and measure our code?  One line for each thing that must be so."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from efcompile.bundle.toolchain import object_toolchain, static_toolchain
from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import TrialDevice
from efcompile.devices.probe import Machine
from efcompile.devices.probe_trial import make_trial
from efcompile.devices.steadiness import Steadiness, steadiness
from efcompile.errors import DeviceError, EfcompileError
from efcompile.targets.target import Target

REPEATS = {"ns": 20, "instructions": 3}
"""How often the fixed trial runs for the clock's sake, by what is measured.  Counts are equal or
they are not."""
TOLERANCE = 1e-5
"""Largest accepted max|y - ref| / max|ref| of the fixed trial."""
LEAST_FREE_BYTES = 256_000_000
"""A batch of trials with its weights takes tens of megabytes."""
MOST_SPREAD, MOST_DRIFT = 0.05, 0.05
"""How far apart the quartiles of the repeats, and the medians of the first and last third, may
be, as a share of the median."""


class Fault(DeviceError):
    """What is wrong, and the one thing `mend` to do about it."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(what)
        self.mend = mend


@dataclass(frozen=True)
class Check:
    """The outcome of one check: what was `found`, and for a fault how to `mend` it (empty where
    `found` says so itself).  What could not be tried because of another fault is ``skipped``."""

    name: str
    state: Literal["ok", "fault", "skipped"]
    found: str
    mend: str = ""


class Patient(Protocol):
    """What the doctor asks of each kind of device.  Each call returns what was found, in words,
    or raises `Fault` or another error of ours."""

    @property
    def name(self) -> str:
        """What users call the device."""

    @property
    def device(self) -> TrialDevice:
        """The device itself."""

    def reach(self) -> str:
        """Whether it is there and answers."""

    def refuses(self, target: Target) -> str | None:
        """Why code for `target` cannot run there, as far as is known without trying."""

    def probe(self, target: Target, folder: Path) -> Machine:
        """What the machine says of itself; `folder` is for scratch files here."""

    def versions(self, machine: Machine) -> str:
        """Whether the software there fits ours."""


@dataclass
class Examination:
    """The checks of `patient`, for code of `target`."""

    patient: Patient
    target: Target
    folder: Path
    machine: Machine | None = None
    trial: Trial | None = None
    first: Outcome | None = None
    done: dict[str, Check] = field(default_factory=dict)

    def toolchain(self) -> str:
        """What compiles and links for the target."""
        compilers = {object_toolchain(self.target).compiler}
        if self.target.object_format == "elf":
            compilers.add(static_toolchain(self.target).compiler)
        names = ("zig" if "ziglang" in words else Path(words[0]).name for words in compilers)
        return f"{', '.join(sorted(set(names)))} for {self.target.triple}"

    def architecture(self) -> str:
        """Whether the machine runs code for the target."""
        refusal = self.patient.refuses(self.target)
        if refusal:
            raise Fault(refusal, "name the machine's own target with --target, or another device")
        machine = self.machine = self.patient.probe(self.target, self.folder)
        if machine.lacks:
            raise Fault(
                f"its CPU lacks {', '.join(machine.lacks)}, which code for {self.target.name} uses",
                f"choose a target without: --target {self.target.triple}, or --cpu and --mattr",
            )
        features = ", ".join(self.target.features)
        return f"{machine.arch}, {machine.cores} cores, {machine.system}; has {features}"

    def versions(self) -> str:
        """Whether the software on both sides fits."""
        assert self.machine is not None
        return self.patient.versions(self.machine)

    def space(self) -> str:
        """Whether trials have room."""
        assert self.machine is not None
        free = self.machine.free_bytes
        if free is None:
            return "not told by this system"
        if free < LEAST_FREE_BYTES:
            raise Fault(
                f"{free / 1e6:.0f} MB are free where trials are kept",
                f"make room: a run needs {LEAST_FREE_BYTES / 1e6:.0f} MB",
            )
        return f"{free / 1e9:.1f} GB"

    def computes(self) -> str:
        """Whether a kernel compiled here runs there and gives the right numbers."""
        self.first = self._measure(1)[0]
        return f"a kernel ran, error {self.first.error:.0e} of the output's scale"

    def clock(self) -> str:
        """Whether the same work costs the same again."""
        assert self.first is not None
        outcomes = self._measure(REPEATS[self.first.unit])
        found = steadiness([outcome.values for outcome in outcomes])
        if self.first.unit == "instructions":
            return _counts(found, len(outcomes))
        if self.first.kind == "emulated":
            return f"{_said(found, len(outcomes))}; emulated, so no times"
        return _times(found, len(outcomes))

    def _measure(self, times: int) -> Sequence[Outcome]:
        if self.trial is None:
            self.trial = make_trial(self.target, self.folder)
        settings = TrialSettings(seconds=0.02)
        outcomes = self.patient.device.measure_trials([self.trial] * times, self.target, settings)
        for outcome in outcomes:
            if outcome.failure:
                raise Fault(
                    f"a kernel that runs elsewhere failed there: {outcome.failure}",
                    "see that the target is the machine's, and what its own log says",
                )
            if not outcome.error <= TOLERANCE:
                raise Fault(
                    f"wrong numbers: off by {outcome.error:.1e} of the output's scale",
                    "do not trust this device: restart it, and check its memory and cooling",
                )
        return outcomes


def examine(
    patient: Patient, target: Target, watch: Callable[[Check], None] = lambda check: None
) -> tuple[Check, ...]:
    """Every check in order; `watch` hears of each as it is done.  Never raises for a fault."""
    with tempfile.TemporaryDirectory(prefix="efcompile-doctor-") as folder:
        it = Examination(patient, target, Path(folder))
        steps: tuple[tuple[str, Callable[[], str], tuple[str, ...]], ...] = (
            ("reachable", patient.reach, ()),
            ("toolchain", it.toolchain, ()),
            ("architecture", it.architecture, ("reachable", "toolchain")),
            ("versions", it.versions, ("architecture",)),
            ("free space", it.space, ("architecture",)),
            ("computes", it.computes, ("architecture", "versions")),
            ("clock", it.clock, ("computes",)),
        )
        for name, check, needs in steps:
            it.done[name] = _check(name, check, [n for n in needs if it.done[n].state != "ok"])
            watch(it.done[name])
        return tuple(it.done.values())


def _check(name: str, check: Callable[[], str], missing: Sequence[str]) -> Check:
    if missing:
        return Check(name, "skipped", f"not tried: {' and '.join(missing)} first")
    try:
        return Check(name, "ok", check())
    except Fault as fault:
        return Check(name, "fault", _line(str(fault)), fault.mend)
    except EfcompileError as error:
        return Check(name, "fault", _line(str(error)))


def _line(text: str) -> str:
    return " ".join(text.split())


def _counts(found: Steadiness, times: int) -> str:
    if not found.equal:
        raise Fault(
            f"instructions of the same work differ by {found.spread:.2%} between {times} runs",
            "one thread and nothing else in the program: report it with the emulator's version",
        )
    return f"{found.value:,.0f} instructions, {times} times the same; emulated, so no times"


def _times(found: Steadiness, times: int) -> str:
    said = _said(found, times)
    if found.spread > MOST_SPREAD:
        raise Fault(said, "end other programs, fix the CPU's frequency (governor `performance`)")
    if abs(found.drift) > MOST_DRIFT:
        raise Fault(said, "let it cool down, plug it in, and fix the CPU's frequency")
    return said


def _said(found: Steadiness, times: int) -> str:
    return (
        f"{times} times the same work: median {found.value / 1e3:.1f} us, quartiles "
        f"{found.spread:.1%} apart, drift {found.drift:+.1%}"
    )
