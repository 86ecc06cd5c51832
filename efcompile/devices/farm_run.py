"""One batch of trials on several devices: handing out, judging the answers, giving to others."""

import math
import queue
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from efcompile.bundle.sample import TOLERANCE
from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import TrialDevice, Watch
from efcompile.devices.farm_worker import Answer, Job, Worker
from efcompile.devices.tracker import NoSuchServer, Unreachable
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

_PAUSE = 2.0
"""Seconds that a device is left alone after it could not be used; twice as long every time."""


@dataclass
class Rules:
    """How many failures in a row a device may have, what seconds a job may take besides its
    trials, and what the numbers are of: kind and unit, once known."""

    patience: int
    overhead: float
    scale: tuple[str, str] | None = None


@dataclass
class Member:
    """A device and how it does.  `suspects` are the trials in a row that went wrong on it and, as
    far as is known, only there; `errors` counts how often in a row it could not be used."""

    name: str
    device: TrialDevice
    state: Literal["ready", "busy", "put aside", "gone"] = "ready"
    done: int = 0
    failed: int = 0
    note: str = ""
    suspects: list[int] = field(default_factory=list)
    errors: int = 0
    rests_until: float = 0.0
    worker: Worker | None = None
    job: Job | None = None

    @property
    def left(self) -> bool:
        """Whether it may get trials, now or later."""
        return self.state in ("ready", "busy")


class Run:
    """Hands out jobs and judges the answers, on one thread."""

    def __init__(
        self,
        members: Sequence[Member],
        rules: Rules,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        interleaved: bool,
        watch: Watch,
    ) -> None:
        self._members, self._rules = members, rules
        self._trials, self._target, self._settings = trials, target, settings
        self._interleaved, self._watch = interleaved, watch
        self.outcomes: dict[int, Outcome] = {}
        self._waiting = deque(range(len(trials)))
        self._blamed: dict[int, tuple[Member, Outcome]] = {}
        self._strikes: Counter[tuple[str, int]] = Counter()
        self._answers: queue.Queue[Answer] = queue.Queue()

    def run(self) -> None:
        """Until every trial has its outcome.  Raises `DeviceError` when nobody is left."""
        while len(self.outcomes) < len(self._trials):
            self._hand_out()
            if not any(one.left for one in self._members):
                raise self._nobody()
            try:
                self._hear(self._answers.get(timeout=0.1))
            except queue.Empty:
                self._look_for_hung()

    def end(self) -> None:
        """No more jobs for anyone; what is under way is not waited for."""
        for one in self._members:
            self._withdraw(one)
            one.suspects.clear()  # positions in this batch
            if one.state == "busy":
                one.state = "ready"

    def _hand_out(self) -> None:
        now = time.monotonic()
        for one in self._members:
            if one.state != "ready" or one.rests_until > now:
                continue
            mine = self._share(one)
            if not mine:
                continue
            seconds = self._rules.overhead + self._settings.timeout * len(mine)
            one.job = Job(tuple(mine), now + seconds)
            one.state = "busy"
            if one.worker is None:
                one.worker = Worker(one.name, one.device, self._answers)
            one.worker.give(
                one.job,
                [self._trials[i] for i in mine],
                self._target,
                self._settings,
                interleaved=self._interleaved,
            )

    def _share(self, one: Member) -> list[int]:
        """Trials for it, half of what would be its part; not what went wrong on it, unless there
        is nobody else."""
        others = self._others(one)
        everybody = 1 if self._interleaved else 2 * (len(others) + 1)
        size = -(-len(self._trials) // everybody)
        mine: list[int] = []
        for i in list(self._waiting):
            blamed = self._blamed.get(i)
            if len(mine) < size and not (blamed and blamed[0] is one and others):
                self._waiting.remove(i)
                mine.append(i)
        return mine

    def _hear(self, answer: Answer) -> None:
        one = next(member for member in self._members if member.name == answer.name)
        if one.job is not answer.job:
            return  # of a job that was given to others in the meantime
        if answer.outcome is not None:
            index, outcome = answer.outcome
            if index not in answer.job.told:
                answer.job.told[index] = outcome
                if not self._interleaved:
                    self._judge(one, index, outcome)
        elif answer.error is None:
            self._finish(one, answer.job)
        elif isinstance(answer.error, DeviceError):
            self._unusable(one, answer.error)
        else:
            raise answer.error

    def _finish(self, one: Member, job: Job) -> None:
        one.errors = 0
        if len(job.told) < len(job.trials):
            self._fail(one, job.trials[0], "it told of fewer trials than it was given")
        elif self._interleaved:
            faults = {i: self._fault(outcome) for i, outcome in job.told.items()}
            guilty = next((i for i, fault in faults.items() if fault), None)
            if guilty is not None:  # what took turns is compared: all of it or nothing
                self._fail(one, guilty, faults[guilty])
            else:
                for i in job.trials:
                    self._keep(one, i, job.told[i])
        self._release(one)

    def _judge(self, one: Member, index: int, outcome: Outcome) -> None:
        fault = self._fault(outcome)
        doubt = outcome.failure or _wrong(outcome)
        if not fault and (not doubt or self._believed(one, index)):
            self._keep(one, index, outcome)
            if not doubt:
                one.suspects.clear()
            else:  # the trial's fault, then, and no device's
                for each in self._members:
                    each.failed -= self._strikes.pop((each.name, index), 0)
                    each.suspects = [i for i in each.suspects if i != index]
            return
        if not fault or index not in self._blamed:
            self._blamed[index] = (one, outcome)
        self._waiting.appendleft(index)
        self._fail(one, index, fault or doubt)

    def _believed(self, one: Member, index: int) -> bool:
        """Whether a failure is the trial's own: a second device says so, or there is none."""
        if index in self._blamed:
            earlier, outcome = self._blamed[index]
            if earlier is not one and not nonsense(outcome):
                return True
        return not self._others(one)

    def _fault(self, outcome: Outcome) -> str:
        scale = self._rules.scale
        if outcome.failure or scale in (None, (outcome.kind, outcome.unit)):
            return nonsense(outcome)
        return f"its numbers are {outcome.kind} {outcome.unit}, those of others {' '.join(scale)}"

    def _keep(self, one: Member, index: int, outcome: Outcome) -> None:
        one.done += 1
        one.note = ""
        if not outcome.failure:
            self._rules.scale = (outcome.kind, outcome.unit)
        self.outcomes[index] = outcome
        self._watch(index, outcome)

    def _fail(self, one: Member, index: int, why: str) -> None:
        one.failed += 1
        one.note = why
        one.suspects.append(index)
        self._strikes[one.name, index] += 1
        if len(one.suspects) >= self._rules.patience:
            one.state = "put aside"
            self._release(one)
            self._withdraw(one)

    def _unusable(self, one: Member, error: DeviceError) -> None:
        one.errors += 1
        one.failed += 1
        one.note = str(error)
        one.rests_until = time.monotonic() + _PAUSE * 2 ** (one.errors - 1)
        # Whoever says that it cannot be reached has waited for it.
        hopeless = isinstance(error, (Unreachable, NoSuchServer))
        if hopeless or one.errors >= self._rules.patience:
            one.state = "gone"
        self._release(one)

    def _look_for_hung(self) -> None:
        now = time.monotonic()
        for one in self._members:
            if one.job is not None and now > one.job.deadline:
                one.state, one.note = "gone", "it did not answer any more"
                one.failed += 1
                self._release(one)
                self._withdraw(one)

    def _release(self, one: Member) -> None:
        """Its job is over: what it did not tell of waits for others again.  (What it did tell of
        was judged, and may be another's job by now; what took turns is judged all at once.)"""
        job, one.job = one.job, None
        if one.state == "busy":
            one.state = "ready"
        if job is not None:
            done = self.outcomes if self._interleaved else job.told
            self._waiting.extendleft(i for i in reversed(job.trials) if i not in done)

    def _withdraw(self, one: Member) -> None:
        """It gets no more jobs, and whatever it still says is not heard."""
        if one.worker is not None:
            one.worker.stop()
        one.worker = one.job = None

    def _others(self, one: Member) -> list[Member]:
        return [member for member in self._members if member.left and member is not one]

    def _nobody(self) -> DeviceError:
        reasons = "; ".join(f"{one.name}: {one.note}" for one in self._members)
        return DeviceError(
            f"no device is left ({reasons}). See what `efcompile devices doctor` says of them, "
            "mend or leave out the faulty ones, and start again: finished trials are kept"
        )


def nonsense(outcome: Outcome) -> str:
    """Why no device can have measured that; empty when one can."""
    if outcome.failure:
        return ""
    if not outcome.values:
        return "it gave no samples"
    if not all(math.isfinite(value) and value > 0 for value in outcome.values):
        return "it gave samples that are no positive numbers"
    if outcome.error < 0:
        return "it gave a negative error"
    return ""


def _wrong(outcome: Outcome) -> str:
    return "" if outcome.error <= TOLERANCE else f"it computed something else ({outcome.error:.1e})"
