"""What MetaSchedule asks for while it searches: candidates built, and run.

Its scheduler proposes batches; `Trials` has their code compiled, then measured, and writes every
outcome into the journal as it comes.  Knobs that the journal knows are answered from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from efcompile import tvm_api
from efcompile.bundle.trial import Outcome
from efcompile.tuning.bench import Bench, Candidate, seconds
from efcompile.tuning.journal import Entry, Journal, Key, vector
from efcompile.tuning.task import Task


@dataclass
class Trials:
    """Candidates of `tasks` on `bench`; `heard` is told every finished one."""

    bench: Bench
    journal: Journal
    tasks: Mapping[Key, Task]
    heard: Callable[[Entry], None]
    _built: dict[str, Candidate | Entry] = field(default_factory=dict)

    def build(self, wanted: Sequence[tuple[Key, Mapping[str, int]]]) -> list[Path | str]:
        """A folder for each candidate, or why it has no code."""
        answers: list[Path | str | None] = []
        unknown: list[tuple[Task, Mapping[str, int]]] = []
        for key, values in wanted:
            entry = self.journal.of(key).get(vector(values))
            if entry is None:
                unknown.append((self.tasks[key], values))
                answers.append(None)
            elif entry.seconds is None:
                answers.append(entry.failure)
            else:
                folder = self.bench.folder / f"known-{len(self._built)}"
                self._built[str(folder)] = entry
                answers.append(folder)
        compiled = iter(zip(unknown, self.bench.compile(unknown), strict=True))
        for position, answer in enumerate(answers):
            if answer is None:
                (task, values), (folder, code) = next(compiled)
                if isinstance(code, str):
                    self._keep(task, values, None, code, None)
                    answers[position] = code
                else:
                    self._built[str(folder)] = Candidate(task, values, code)
                    answers[position] = folder
        return [answer for answer in answers if answer is not None]

    def run(self, folders: Sequence[str]) -> list[Entry]:
        """What each built candidate costs."""
        found: dict[int, Entry] = {}
        places: list[int] = []
        candidates: list[Candidate] = []
        for position, folder in enumerate(folders):
            built = self._built.pop(folder)
            if isinstance(built, Entry):
                found[position] = built
            else:
                places.append(position)
                candidates.append(built)

        def keep(position: int, outcome: Outcome) -> None:
            candidate = candidates[position]
            cost = None if outcome.failure else seconds(outcome)
            found[places[position]] = self._keep(
                candidate.task, candidate.values, cost, outcome.failure, outcome
            )

        if candidates:
            self.bench.measure(candidates, watch=keep)
        return [found[position] for position in range(len(folders))]

    def _keep(
        self,
        task: Task,
        values: Mapping[str, int],
        cost: float | None,
        failure: str,
        outcome: Outcome | None,
    ) -> Entry:
        kernel, shape = task.key
        entry = Entry(
            kernel=kernel,
            shape=shape,
            knobs=dict(values),
            seconds=cost,
            error=None if outcome is None or outcome.error != outcome.error else outcome.error,
            failure=failure,
            device=(outcome.device if outcome else "") or self.bench.device.name,
        )
        self.journal.add(entry)
        self.heard(entry)
        return entry


@dataclass(frozen=True)
class Builder:
    """`trials` as MetaSchedule's builder; `identify` tells a scheduled module's task and knobs."""

    trials: Trials
    identify: Callable[[Any], tuple[Key, Mapping[str, int]]]

    def build(self, build_inputs: Sequence[Any]) -> list[Any]:
        """A ``BuilderResult`` for each ``BuilderInput``; the artifact is a folder of its own."""
        result = tvm_api.meta_schedule().builder.BuilderResult
        answers = self.trials.build([self.identify(given.mod) for given in build_inputs])
        return [
            result(None, answer) if isinstance(answer, str) else result(str(answer), None)
            for answer in answers
        ]


@dataclass(frozen=True)
class Runner:
    """`trials` as MetaSchedule's runner."""

    trials: Trials

    def run(self, runner_inputs: Sequence[Any]) -> list[Any]:
        """A ``RunnerFuture`` for each ``RunnerInput``, done already."""
        runner = tvm_api.meta_schedule().runner
        entries = self.trials.run([str(given.artifact_path) for given in runner_inputs])

        def future(entry: Entry) -> Any:
            failed = entry.seconds is None
            result = runner.RunnerResult(
                None if failed else [entry.seconds], entry.failure if failed else None
            )
            return runner.RunnerFuture(f_done=lambda: True, f_result=lambda: result)

        return [future(entry) for entry in entries]
