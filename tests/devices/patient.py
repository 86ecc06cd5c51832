"""A patient with any complaint: for testing the doctor without a device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import Watch, ignore
from efcompile.devices.probe import Machine
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

HEALTHY = Machine("x86_64", "Linux 6.1", 2, 10**10, (), (), "")


def timed(position: int) -> Outcome:
    """A steady clock."""
    return Outcome((100.0, 101.0, 100.0), "ns", "measured", 1e-7)


@dataclass
class FakeDevice:
    """Says of trial `i` what `outcome(i)` does."""

    outcome: Callable[[int], Outcome] = timed
    refusal: str | None = None

    name = "fake"

    def unavailable(self) -> str | None:
        """Never."""
        return None

    def refuses(self, target: Target) -> str | None:
        """As told."""
        return self.refusal

    def measure_trials(
        self,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool = False,
        watch: Watch = ignore,
    ) -> list[Outcome]:
        """As told."""
        return [self.outcome(i) for i in range(len(trials))]


@dataclass
class FakePatient:
    """Healthy, but for what a test changes."""

    device: FakeDevice = field(default_factory=FakeDevice)
    machine: Machine = HEALTHY
    unreachable: str = ""

    name = "fake"

    def reach(self) -> str:
        """There, unless told otherwise."""
        if self.unreachable:
            raise DeviceError(self.unreachable)
        return "here"

    def refuses(self, target: Target) -> str | None:
        """As told."""
        return self.device.refusal

    def probe(self, target: Target, folder: Path) -> Machine:
        """As told."""
        return self.machine

    def versions(self, machine: Machine) -> str:
        """All well."""
        return "fine"
