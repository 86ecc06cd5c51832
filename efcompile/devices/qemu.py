"""An arm64 CPU under emulation: right numbers and exact instruction counts, but no times."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from efcompile.bundle.load import Bundle
from efcompile.bundle.manifest import Manifest
from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import Array, Watch, ignore
from efcompile.devices.emulator import (
    InstructionCounts,
    count_at_marks,
    cpu_model,
    emulate,
    emulator_version,
    find_emulator,
)
from efcompile.devices.measurement import Measurement
from efcompile.devices.qemu_trials import SLOWDOWN, count_trials
from efcompile.devices.raw_values import read_outputs, write_inputs
from efcompile.errors import DeviceError
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Qemu:
    """Runs the static benchmark of arm64 Linux and Android bundles under ``qemu-aarch64``.

    `timeout` is in seconds, for one program; the emulator does some 10^8 instructions a second.
    """

    timeout: float = 1800

    name = "qemu"
    summary = "arm64 under qemu-aarch64: outputs and exact instruction counts, no times"

    def unavailable(self) -> str | None:
        """A missing emulator, with the line that installs it."""
        try:
            find_emulator()
        except DeviceError as error:
            return str(error)
        return None

    def refuses(self, target: Target) -> str | None:
        """Everything but arm64 ELF."""
        if target.arch == "aarch64" and target.object_format == "elf":
            return None
        return f"qemu-aarch64 runs arm64 Linux programs, not code for {target.triple}"

    def run(self, bundle: Bundle, inputs: Sequence[Array], *, threads: int = 1) -> list[Array]:
        """See `Device.run`."""
        manifest = self._accept(bundle)
        with tempfile.TemporaryDirectory() as scratch:
            given, made = Path(scratch) / "inputs", Path(scratch) / "outputs"
            write_inputs(given, manifest, inputs)
            command = _command(bundle, iterations=1, threads=threads)
            emulate(
                [*command, "--input", given, "--output", made],
                cpu=cpu_model(manifest.cpu_features),
                timeout=self.timeout,
            )
            return read_outputs(made, manifest)

    def measure(
        self, bundle: Bundle, inputs: Sequence[Array] | None = None, *, threads: int = 1
    ) -> dict[str, Measurement]:
        """Instructions of one inference: ``instructions``, and of these ``fmla``, ``simd``,
        ``load``, ``store``, ``branch``, ``other`` (see `InstructionCounts`).

        Counted from the first kernel's first instruction to where it comes there again in a second
        inference, so starting the program costs nothing; the numbers repeat exactly.  Raises
        `DeviceError` for several threads, whose waiting would be counted.
        """
        _check_single(threads)
        manifest = self._accept(bundle)
        first, *others = self._marks(bundle)
        found = self._count_twice(bundle, [first], inputs)
        (_, begin), (_, end) = found[0], found[1 + others.count(first)]
        return self._measurements(manifest, end - begin)

    def profile(
        self, bundle: Bundle, inputs: Sequence[Array] | None = None
    ) -> tuple[InstructionCounts, ...]:
        """Instructions of every kernel call in the network's order, on one thread.

        A call's count goes from its kernel's first instruction to that of the next one, the
        driver's few dozen between them included, and the last call's to the beginning of a
        second inference: all together are exactly what `measure` counts.  Raises as it does.
        """
        self._accept(bundle)
        marks = self._marks(bundle)
        found = self._count_twice(bundle, marks, inputs)
        if [address for address, _ in found] != marks * 2:
            raise DeviceError(
                f"{bundle.path}: the program did not make the {len(marks)} calls of its manifest "
                "one after the other: compile the model again"
            )
        counts = [count for _, count in found]
        return tuple(counts[i + 1] - counts[i] for i in range(len(marks)))

    def measure_trials(
        self,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool = False,
        watch: Watch = ignore,
    ) -> list[Outcome]:
        """See `TrialDevice.measure_trials`: exact instructions of one call, one value for each.

        Nothing drifts, so taking turns would change nothing.  Raises `DeviceError` for several
        threads, as `measure` does.
        """
        _check_single(settings.threads)
        find_emulator()
        refusal = self.refuses(target)
        if refusal:
            raise DeviceError(f"{refusal}. Tune for target='arm64' on it.")
        timeout = min(self.timeout, SLOWDOWN * settings.timeout)
        return count_trials(trials, target, timeout, self.name, watch)

    def _marks(self, bundle: Bundle) -> list[int]:
        """Every call's address in the program, in the network's order."""
        cpu, program = cpu_model(bundle.manifest.cpu_features), bundle.file("bench")
        listed = emulate([program, "--calls"], cpu=cpu, timeout=self.timeout)
        marks = [int(line, 16) for line in listed.split()]
        if len(marks) != len(bundle.manifest.calls):
            raise DeviceError(
                f"{program} has {len(marks)} calls and its manifest {len(bundle.manifest.calls)}: "
                "compile the model again"
            )
        return marks

    def _count_twice(
        self, bundle: Bundle, marks: list[int], inputs: Sequence[Array] | None
    ) -> list[tuple[int, InstructionCounts]]:
        """Two inferences, with the instructions executed until each arrival at `marks`."""
        with tempfile.TemporaryDirectory() as scratch:
            given = _given(bundle.manifest, inputs, scratch)
            return count_at_marks(
                [*_command(bundle, iterations=2, threads=1), *given],
                marks,
                cpu=cpu_model(bundle.manifest.cpu_features),
                timeout=self.timeout,
            )

    def _accept(self, bundle: Bundle) -> Manifest:
        find_emulator()
        refusal = self.refuses(bundle.manifest.target)
        if refusal:
            raise DeviceError(f"{bundle.path}: {refusal}. Compile with target='arm64' for it.")
        return bundle.manifest

    def _measurements(
        self, manifest: Manifest, counts: InstructionCounts
    ) -> dict[str, Measurement]:
        versions = manifest.versions | {"qemu": emulator_version()}
        return {
            what: Measurement(
                value=count,
                unit="instructions",
                spread=(count, count),
                samples=1,
                device=self.name,
                target=manifest.target.name,
                threads=1,
                kind="emulated",
                versions=versions,
            )
            for what, count in {"instructions": counts.total, **asdict(counts)}.items()
        }


def _check_single(threads: int) -> None:
    if threads != 1:
        raise DeviceError(
            f"qemu counts instructions of one thread, not of {threads}: threads that wait "
            "for each other execute a varying number. Measure with threads=1."
        )


def _command(bundle: Bundle, *, iterations: int, threads: int) -> list[str | Path]:
    # Without reading the clock and printing times, every run executes the same instructions.
    options = f"--untimed --warmup 0 --iterations {iterations} --threads {threads}"
    return [bundle.file("bench"), *options.split()]


def _given(manifest: Manifest, inputs: Sequence[Array] | None, folder: str) -> list[str | Path]:
    """The benchmark's options for `inputs`, written into `folder`; none for its own."""
    if inputs is None:
        return []
    path = Path(folder) / "inputs"
    write_inputs(path, manifest, inputs)
    return ["--input", path]
