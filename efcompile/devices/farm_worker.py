"""A device of a farm at work, on a thread of its own."""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import TrialDevice
from efcompile.targets.target import Target


@dataclass(eq=False)
class Job:
    """Trials, by position, that a device has until `deadline` (`time.monotonic`), and what it has
    `told` of them."""

    trials: tuple[int, ...]
    deadline: float
    told: dict[int, Outcome] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Answer:
    """What the device `name` says of its job: a trial's `outcome`, an `error` that ended the job,
    or neither when it is done."""

    name: str
    job: Job
    outcome: tuple[int, Outcome] | None = None
    error: Exception | None = None


class Worker:
    """Runs a device's jobs one after the other and puts `Answer`s into `answers`."""

    def __init__(self, name: str, device: TrialDevice, answers: "queue.Queue[Answer]") -> None:
        self._name, self._device, self._answers = name, device, answers
        self._jobs: queue.Queue[tuple[Job, Any] | None] = queue.Queue()
        # A device that hangs must not keep the process from ending.
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def give(
        self,
        job: Job,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool,
    ) -> None:
        """Begin a job, whose `trials` are these."""
        self._jobs.put((job, (trials, target, settings, interleaved)))

    def stop(self) -> None:
        """End after the job under way, if there is one."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            job, (trials, target, settings, interleaved) = given

            def tell(position: int, outcome: Outcome, job: Job = job) -> None:
                if 0 <= position < len(job.trials):
                    found = job.trials[position], outcome
                    self._answers.put(Answer(self._name, job, outcome=found))

            try:
                outcomes = self._device.measure_trials(
                    trials, target, settings, interleaved=interleaved, watch=tell
                )
            except Exception as error:  # judged by the farm, on its thread
                self._answers.put(Answer(self._name, job, error=error))
                continue
            # Those told of already are known by then.
            for position, outcome in enumerate(outcomes):
                tell(position, outcome)
            self._answers.put(Answer(self._name, job))
