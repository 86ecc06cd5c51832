"""A program that crashes or hangs is started again behind the trial that did it."""

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from efcompile.bundle.trials import Outcome, TrialSettings
from efcompile.devices.trial_runs import ProgramEnded, parse_line, run_trials
from efcompile.errors import DeviceError

SETTINGS = TrialSettings(timeout=7.0)


@dataclass
class Program:
    """Stands in for the program: trials in `bad` end it, alone or not."""

    count: int
    bad: dict[int, str] = field(default_factory=dict)
    together: str = ""
    starts: list[tuple[list[str], float]] = field(default_factory=list)
    closed: int = 0

    def __call__(self, options: Sequence[str], timeout: float) -> Generator[str, None, None]:
        self.starts.append((list(options), timeout))
        try:
            yield from self.turns(options) if "--interleave" in options else self.alone(options)
        finally:
            self.closed += 1

    def alone(self, options: Sequence[str]) -> Generator[str, None, None]:
        for i in range(int(options[options.index("--first") + 1]), self.count):
            if i in self.bad:
                raise ProgramEnded(self.bad[i])
            yield line(i)

    def turns(self, options: Sequence[str]) -> Generator[str, None, None]:
        skipped = options[options.index("--skip") + 1] if "--skip" in options else ""
        left = [i for i in range(self.count) if str(i) not in skipped.split(",")]
        for i in left:
            if i in self.bad or self.together:
                raise ProgramEnded(self.together or self.bad[i])
        yield from map(line, left)


def line(trial: int) -> str:
    return json.dumps({"trial": trial, "name": "x", "error": 0.5, "samples": [10.0 + trial, 20.0]})


def run(program: Program, *, interleaved: bool = False) -> list[Outcome]:
    told: list[tuple[int, Outcome]] = []
    found = run_trials(
        program,
        program.count,
        SETTINGS,
        "1",
        "there",
        interleaved=interleaved,
        watch=lambda i, outcome: told.append((i, outcome)),
    )
    assert sorted(i for i, _ in told) == list(range(program.count))
    assert all(found[i] == outcome for i, outcome in told)
    assert program.closed == len(program.starts)
    return found


def firsts(program: Program) -> list[str]:
    return [options[options.index("--first") + 1] for options, _ in program.starts]


def test_one_start_measures_all() -> None:
    program = Program(3)
    assert [each.values for each in run(program)] == [(10, 20), (11, 20), (12, 20)]
    (options, timeout), *others = program.starts
    assert not others and timeout == 7
    assert options[options.index("--cores") + 1] == "1"


def test_it_goes_on_behind_each_that_fails() -> None:
    program = Program(5, {0: "ended by signal 4", 2: "did not end", 4: "ended by signal 11"})
    failures = [each.failure for each in run(program)]
    assert failures == ["ended by signal 4", "", "did not end", "", "ended by signal 11"]
    assert firsts(program) == ["0", "1", "3"]


def test_turns_wait_for_all() -> None:
    program = Program(3)
    assert [each.values[0] for each in run(program, interleaved=True)] == [10, 11, 12]
    assert [timeout for _, timeout in program.starts] == [21]


def test_turns_are_taken_again_without_the_culprits() -> None:
    program = Program(4, {1: "ended by signal 4", 3: "did not end"})
    failures = [each.failure for each in run(program, interleaved=True)]
    assert failures == ["", "ended by signal 4", "", "did not end"]
    last, _ = program.starts[-1]
    assert last[last.index("--skip") + 1] == "1,3"


def test_when_all_are_culprits_there_are_no_more_turns() -> None:
    program = Program(2, {0: "ended by signal 4", 1: "did not end"})
    assert [bool(each.failure) for each in run(program, interleaved=True)] == [True, True]
    assert sum("--interleave" in options for options, _ in program.starts) == 1


@pytest.mark.parametrize("bad", [{}, {0: "ended by signal 4"}])
def test_turns_without_a_culprit_fail_for_all(bad: dict[int, str]) -> None:
    program = Program(3, bad, together="ended by signal 6")
    failures = [each.failure for each in run(program, interleaved=True)]
    assert failures == [bad.get(i, "ended by signal 6") for i in range(3)]


@pytest.mark.parametrize(
    "broken",
    [
        lambda i: line(i + 1) if i else line(0),
        lambda i: line(0),
        lambda i: line(-1),
        lambda i: line(i) if i < 2 else "",
        lambda i: "nonsense",
        lambda i: '{"trial": 0}',
        lambda i: '["trial"]',
    ],
)
@pytest.mark.parametrize("interleaved", [False, True])
def test_a_program_that_says_something_else_is_an_error(
    broken: Callable[[int], str], interleaved: bool
) -> None:
    def launch(options: Sequence[str], timeout: float) -> Generator[str, None, None]:
        yield from (said for said in map(broken, range(3)) if said)

    with pytest.raises(DeviceError, match="there"):
        run_trials(
            launch, 3, SETTINGS, None, "there", interleaved=interleaved, watch=lambda i, o: None
        )


def test_a_trouble_of_the_device_is_passed_on() -> None:
    def launch(options: Sequence[str], timeout: float) -> Generator[str, None, None]:
        yield line(0)
        raise DeviceError("gone")

    told: list[int] = []
    with pytest.raises(DeviceError, match="gone"):
        run_trials(
            launch,
            2,
            SETTINGS,
            None,
            "there",
            interleaved=False,
            watch=lambda i, outcome: told.append(i),
        )
    assert told == [0]


def test_lines_may_have_what_json_lacks() -> None:
    index, outcome = parse_line('{"trial": 4, "error": NaN, "samples": [1]}', "there")
    assert (index, outcome.values, outcome.device) == (4, (1.0,), "there")
    assert np.isnan(outcome.error)
    _, outcome = parse_line('{"trial": 4, "error": Infinity, "samples": []}', "there")
    assert outcome.error == np.inf
    _, outcome = parse_line('{"trial": 4, "failure": "not enough memory"}', "there")
    assert (outcome.failure, outcome.values) == ("not enough memory", ())
