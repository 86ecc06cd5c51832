"""This machine, through the bundle's shared library."""

import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle
from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import Array, Watch, ignore
from efcompile.devices.local_trials import measure_here
from efcompile.devices.measurement import Measurement, summarise
from efcompile.errors import DeviceError
from efcompile.targets.host import missing_features
from efcompile.targets.target import Target


@dataclass(frozen=True)
class Local:
    """Runs bundles in this process.

    `measure` runs `warmup` inferences untimed, then times `iterations` of them one by one.
    """

    warmup: int = 3
    iterations: int = 20

    name = "local"
    summary = "this machine: runs and times bundles for its own architecture"

    def unavailable(self) -> str | None:
        """None: a machine is always here; it may refuse a target."""
        return None

    def refuses(self, target: Target) -> str | None:
        """Another system, architecture, or features this CPU lacks."""
        here = (sys.platform, platform.machine())
        if here != (target.os, target.arch):
            return f"code for {target.triple} does not run on {here[1]} {here[0]}"
        missing = missing_features(target)
        return f"this CPU lacks {', '.join(missing)}" if missing else None

    def run(self, bundle: Bundle, inputs: Sequence[Array], *, threads: int = 1) -> list[Array]:
        """See `Device.run`."""
        return Library(bundle, threads).run(inputs)

    def measure(
        self, bundle: Bundle, inputs: Sequence[Array] | None = None, *, threads: int = 1
    ) -> dict[str, Measurement]:
        """The ``latency`` of one inference in nanoseconds, Python's call included (some 10 us)."""
        library = Library(bundle, threads)
        given = noise(bundle) if inputs is None else list(inputs)
        for _ in range(self.warmup):
            library.run(given)
        times = []
        for _ in range(self.iterations):
            start = time.perf_counter_ns()
            library.run(given)
            times.append(time.perf_counter_ns() - start)
        median, quartiles = summarise(times)
        latency = Measurement(
            value=median,
            unit="ns",
            spread=quartiles,
            samples=len(times),
            device=self.name,
            target=bundle.manifest.target.name,
            threads=threads,
            kind="measured",
            versions=bundle.manifest.versions,
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
        """See `TrialDevice.measure_trials`: nanoseconds of a call, in a program of its own on the
        last of the cores that this process may use, one for each thread."""
        refusal = self.refuses(target)
        if refusal:
            raise DeviceError(f"{refusal}. Tune for target='host', or on another device.")
        return measure_here(
            trials, target, settings, self.name, interleaved=interleaved, watch=watch
        )


def noise(bundle: Bundle) -> list[Array]:
    """Standard normal inputs, the same every time."""
    source = np.random.default_rng(0)
    return [
        source.standard_normal(entry.dims).astype(entry.dtype) for entry in bundle.manifest.inputs
    ]
