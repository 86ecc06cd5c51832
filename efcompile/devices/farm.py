"""Several devices that measure trials together, of which some may fail."""

from collections.abc import Iterable, Mapping, Sequence

from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import TrialDevice, Watch, ignore
from efcompile.devices.device_state import DeviceState
from efcompile.devices.farm_run import Member, Rules, Run
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

PATIENCE = 3
"""Failures in a row until a device is put aside."""
OVERHEAD = 120.0
"""Seconds that a device has for linking, connecting and uploading, besides the trials."""


class Farm:
    """Measures trials on all `devices` at once.

    A device's trials are given to others when it cannot be used, does not answer in time, or
    answers nonsense: samples that are no positive numbers, or fewer outcomes than trials.  A
    trial that fails or computes something else on one device is tried on a second one before that
    is believed of the trial.  After `patience` failures in a row a device gets no more trials.

    Devices should be equal: their times are compared.  One whose numbers are of another kind or
    unit than the first one's is put aside.  Trials that take turns go to one device together.
    """

    def __init__(
        self,
        devices: Mapping[str, TrialDevice] | Sequence[TrialDevice],
        *,
        name: str = "farm",
        patience: int = PATIENCE,
        overhead: float = OVERHEAD,
    ) -> None:
        """`devices` by the names they are shown with.  `overhead` is in seconds: what a device may
        take besides its trials until it counts as hung."""
        named = devices if isinstance(devices, Mapping) else dict(_numbered(devices))
        if not named:
            raise DeviceError("a farm needs at least one device")
        self.name = name
        self._members = [Member(*item) for item in named.items()]
        self._rules = Rules(patience, overhead)

    def states(self) -> tuple[DeviceState, ...]:
        """How each device is doing."""
        return tuple(
            DeviceState(one.name, one.state, one.done, one.failed, one.note)
            for one in self._members
        )

    def unavailable(self) -> str | None:
        """None if one of its devices can be used."""
        return _none_or_all((one.name, one.device.unavailable()) for one in self._members)

    def refuses(self, target: Target) -> str | None:
        """None if one of its devices takes such code; the others are put aside."""
        reasons = {one.name: one.device.refuses(target) for one in self._members}
        for one in self._members:
            if (reason := reasons[one.name]) and one.left:
                one.state, one.note = "put aside", reason
        return _none_or_all(reasons.items())

    def measure_trials(
        self,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool = False,
        watch: Watch = ignore,
    ) -> list[Outcome]:
        """See `TrialDevice.measure_trials`; `watch` is called on this thread.

        Raises `DeviceError` when no device is left; `watch` has heard of what was finished.
        """
        if not trials:
            return []
        run = Run(self._members, self._rules, trials, target, settings, interleaved, watch)
        try:
            run.run()
        finally:
            run.end()
        return [run.outcomes[i] for i in range(len(trials))]


def _numbered(devices: Sequence[TrialDevice]) -> Iterable[tuple[str, TrialDevice]]:
    return ((f"{device.name} {i + 1}", device) for i, device in enumerate(devices))


def _none_or_all(reasons: Iterable[tuple[str, str | None]]) -> str | None:
    """None once one has no reason; else all of them."""
    found = []
    for name, reason in reasons:
        if reason is None:
            return None
        found.append(f"{name}: {reason}")
    return "; ".join(found)
