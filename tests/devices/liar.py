"""A device for tests of what deals with bad ones: it answers what it is told to."""

from collections.abc import Callable, Sequence

from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import Watch, ignore
from efcompile.targets.target import Target

Answers = Callable[[Sequence[Trial]], list[Outcome]]
GOOD = Outcome((100.0, 101.0), "ns", "measured", 1e-7, "", "liar")


class Liar:
    """Measures nothing; `answers` says what for."""

    name = "liar"

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.calls = 0

    def unavailable(self) -> str | None:
        """Always there."""
        return None

    def refuses(self, target: Target) -> str | None:
        """Takes everything but code for Apple."""
        return "no apples" if target.os == "ios" else None

    def measure_trials(
        self,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool = False,
        watch: Watch = ignore,
    ) -> list[Outcome]:
        """Whatever it wants."""
        self.calls += 1
        outcomes = self.answers(trials)
        for i, outcome in enumerate(outcomes):
            watch(i, outcome)
        return outcomes
