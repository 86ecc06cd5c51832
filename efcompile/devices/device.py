"""What every device offers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from efcompile.bundle.load import Bundle
from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.measurement import Measurement
from efcompile.targets.target import Target

Array = NDArray[Any]
Watch = Callable[[int, Outcome], None]


def ignore(trial: int, outcome: Outcome) -> None:
    """A watcher that does not care."""


class Device(Protocol):
    """A place where bundles run.  How much is measured is a device's own affair: its fields."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def summary(self) -> str:
        """One line for people."""

    def unavailable(self) -> str | None:
        """Why it cannot be used now, and what to do about that; None when it can."""

    def refuses(self, target: Target) -> str | None:
        """Why bundles for `target` cannot run on it; None when they can."""

    def run(self, bundle: Bundle, inputs: Sequence[Array], *, threads: int = 1) -> list[Array]:
        """One inference: the outputs for `inputs`, in the manifest's order, shapes and dtypes.

        Raises `InputError` for inputs that do not fit, `DeviceError` when the device is not
        available or the run fails, `BundleError` when the bundle is not for it.
        """

    def measure(
        self, bundle: Bundle, inputs: Sequence[Array] | None = None, *, threads: int = 1
    ) -> Mapping[str, Measurement]:
        """Measure an inference of `inputs`, or of pseudo-random ones: measurements by what
        they measure (``latency``; ``instructions`` and its classes).  Raises as `run` does.
        """


@runtime_checkable
class TrialDevice(Protocol):
    """A place where trials are measured: tuning's view of a device."""

    @property
    def name(self) -> str:
        """What users call it."""

    def unavailable(self) -> str | None:
        """As in `Device`."""

    def refuses(self, target: Target) -> str | None:
        """As in `Device`, for trials."""

    def measure_trials(
        self,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool = False,
        watch: Watch = ignore,
    ) -> list[Outcome]:
        """One outcome for each trial, in order; `watch` hears each one's position and outcome
        as it is known.

        With `interleaved`, the trials take turns call by call, so that drift of the machine hits
        all alike: for deciding between a few.  A trial that crashes, hangs or is refused costs
        that one alone; `DeviceError` means that the device as a whole cannot be used (any more).
        """
