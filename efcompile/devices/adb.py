"""A phone over Android's adb: static programs are pushed and run, no app or server there."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efcompile.bundle.load import Bundle
from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.adb_connection import Connection
from efcompile.devices.adb_faults import explained
from efcompile.devices.adb_folder import Folder, private_folder
from efcompile.devices.adb_trials import measure_there
from efcompile.devices.device import Array, Watch, ignore
from efcompile.devices.measurement import Measurement
from efcompile.devices.phone import Phone, ask
from efcompile.devices.raw_values import outputs_size, read_outputs, write_inputs
from efcompile.errors import DeviceError
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Adb:
    """Runs the static benchmark of arm64 Android and Linux bundles, and trials, on a phone.

    `serial` is which one of `adb devices`; None: the only one.  `adb` is the program.  Files go
    into a private folder in `folder`, removed afterwards.  `timeout` is in seconds, for one
    command or file; a phone that goes offline has `patience` seconds to come back, once for each
    command.  `cores` are those to run on, such as ``4-7``; None: as many of the fastest as there
    are threads, where the phone tells (`Phone.fastest`).  `measure` runs `warmup` inferences
    untimed, then times `iterations` of them.
    """

    serial: str | None = None
    adb: str = "adb"
    folder: str = "/data/local/tmp"
    timeout: float = 600.0
    patience: float = 60.0
    cores: str | None = None
    warmup: int = 3
    iterations: int = 20

    summary = "a phone over adb: runs and times arm64 bundles there, nothing to install"

    @property
    def name(self) -> str:
        """``adb``, or ``adb:SERIAL`` where a serial is given."""
        return "adb" if self.serial is None else f"adb:{self.serial}"

    def unavailable(self) -> str | None:
        """A missing adb or phone, one that is not ready, or several and no serial."""
        try:
            self.connect()
        except DeviceError as error:
            return str(error)
        return None

    def refuses(self, target: Target) -> str | None:
        """Everything but arm64 ELF."""
        if target.arch == "aarch64" and target.object_format == "elf":
            return None
        return f"arm64 phones run Android and Linux programs, not code for {target.triple}"

    def connect(self) -> Connection:
        """The connection to the phone, which is there now; raises `DeviceError`."""
        return Connection(self.adb, self.serial, self.timeout, self.patience).chosen()

    def phone(self) -> Phone:
        """What the phone tells of itself; raises `DeviceError`."""
        return ask(self.connect())

    def execute(self, program: Path, *arguments: str) -> str:
        """Push a static program, run it there and return its output; raises `DeviceError`."""
        with private_folder(self.connect(), self.folder) as folder:
            return _output(folder, folder.push(program, program=True), *arguments)

    def run(self, bundle: Bundle, inputs: Sequence[Array], *, threads: int = 1) -> list[Array]:
        """See `Device.run`."""
        with self._installed(bundle, inputs, threads) as place:
            made = place.folder.file("outputs")
            place.bench("--warmup", "0", "--iterations", "1", "--untimed", "--output", made)
            local = place.scratch / "outputs"
            place.folder.connection.pull(made, local, outputs_size(bundle.manifest))
            return read_outputs(local, bundle.manifest)

    def measure(
        self, bundle: Bundle, inputs: Sequence[Array] | None = None, *, threads: int = 1
    ) -> dict[str, Measurement]:
        """The ``latency`` of one inference in nanoseconds, timed in C on the phone.

        ``emulated`` where the phone says that it is one only in software.
        """
        with self._installed(bundle, inputs, threads) as place:
            times = place.bench("--warmup", str(self.warmup), "--iterations", str(self.iterations))
            latency = Measurement(
                value=float(times["median"]),
                unit="ns",
                spread=(float(times["q1"]), float(times["q3"])),
                samples=int(times["iterations"]),
                device=self.name,
                target=bundle.manifest.target.name,
                threads=threads,
                kind=place.phone.kind,
                versions=bundle.manifest.versions | _versions(place.phone),
            )
        return {"latency": latency}

    def measure_trials(
        self,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool = False,
        watch: Watch = ignore,
    ) -> list[Outcome]:
        """See `TrialDevice.measure_trials`: one program for all of them, and one file of their
        data, pushed once.  After an interruption it goes on behind the last finished one."""
        refusal = self.refuses(target)
        if refusal:
            raise DeviceError(f"{refusal}. Tune with target='android' or 'arm64' for it.")
        if not trials:
            return []
        connection = self.connect()
        phone = ask(connection)
        cores = settings.cores or self.cores or phone.fastest(settings.threads)
        with private_folder(connection, self.folder) as folder:
            return measure_there(
                folder,
                trials,
                target,
                settings,
                cores,
                self.name,
                phone.kind,
                interleaved=interleaved,
                watch=watch,
            )

    @contextmanager
    def _installed(
        self, bundle: Bundle, inputs: Sequence[Array] | None, threads: int
    ) -> Iterator["_Installed"]:
        """The bundle on the phone, with its inputs."""
        manifest = bundle.manifest
        refusal = self.refuses(manifest.target)
        if refusal:
            raise DeviceError(f"{bundle.path}: {refusal}. Compile with target='android' for it.")
        files = [bundle.file("bench"), bundle.file("weights.bin")]
        with tempfile.TemporaryDirectory(prefix="efcompile-adb-") as scratch:
            given = Path(scratch) / "inputs"
            if inputs is not None:
                write_inputs(given, manifest, inputs)
                files.append(given)
            connection = self.connect()
            phone = ask(connection)
            with private_folder(connection, self.folder) as folder:
                bench, weights, *rest = [
                    folder.push(file, program=not i) for i, file in enumerate(files)
                ]
                cores = self.cores or phone.fastest(threads)
                options = ["--weights", weights, "--threads", str(threads)]
                options += ["--input", *rest] if rest else []
                options += ["--cores", cores] if cores else []
                yield _Installed(folder, phone, Path(scratch), (bench, *options))


@dataclass(frozen=True)
class _Installed:
    """A bundle's benchmark in a `folder` of a `phone`: the `command` that runs it; `scratch` is
    a folder here."""

    folder: Folder
    phone: Phone
    scratch: Path
    command: tuple[str, ...]

    def bench(self, *options: str) -> dict[str, Any]:
        """Run it and return what it says."""
        said = _output(self.folder, *self.command, *options)
        try:
            found: dict[str, Any] = json.loads(said)
        except ValueError as error:
            raise DeviceError(
                f"cannot make sense of {said[:200]!r}, which should be the benchmark's one line"
            ) from error
        return found


def _output(folder: Folder, *command: str) -> str:
    said = folder.run(*command)
    if said.status != 0:
        program = command[0].rpartition("/")[2]
        how = said.text if said.text.strip() else f"it ended with status {said.status}"
        raise explained(how, f"running {program} on the phone")
    return said.text


def _versions(phone: Phone) -> dict[str, str]:
    told = {"android": phone.release, "phone": phone.model}
    return {name: value for name, value in told.items() if value}
