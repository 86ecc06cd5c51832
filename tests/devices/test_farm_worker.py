"""A device of a farm at work."""

import queue
from collections.abc import Sequence

from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.farm_worker import Answer, Job, Worker
from efcompile.targets.host import detect_host
from tests.devices.liar import GOOD, Liar

HOST = detect_host()
TRIALS = [Trial("a", (), ()), Trial("b", (), ())]


def _answers(device: Liar, count: int) -> tuple[Job, list[Answer]]:
    answers: queue.Queue[Answer] = queue.Queue()
    worker = Worker("it", device, answers)
    job = Job((4, 7), 0.0)
    worker.give(job, TRIALS, HOST, TrialSettings(), interleaved=False)
    found = [answers.get(timeout=10) for _ in range(count)]
    worker.stop()
    assert all(answer.name == "it" and answer.job is job for answer in found)
    return job, found


def test_it_tells_of_trials_by_their_position_in_the_batch() -> None:
    _, found = _answers(Liar(lambda trials: [GOOD for _ in trials]), 5)
    told = [answer.outcome for answer in found[:4]]  # as they come, and at the end once more
    assert told == [(4, GOOD), (7, GOOD)] * 2
    assert found[4].outcome is None and found[4].error is None


def test_what_a_device_raises_is_an_answer() -> None:
    problem = RuntimeError("whatever it is")

    def raising(trials: Sequence[Trial]) -> list[Outcome]:
        raise problem

    assert _answers(Liar(raising), 1)[1][0].error is problem


def test_outcomes_of_trials_that_it_was_not_given_are_dropped() -> None:
    _, found = _answers(Liar(lambda trials: [GOOD] * 5), 5)
    assert [answer.outcome for answer in found[:4]] == [(4, GOOD), (7, GOOD)] * 2
