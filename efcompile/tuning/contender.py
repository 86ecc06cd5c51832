"""A task that is tuned, with what it starts from and which of its trials may win."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from efcompile.kernels.tuned import Winners
from efcompile.tuning.space import KnobSpace, Values
from efcompile.tuning.task import Task

FINALISTS = 3
"""Candidates of a task that are measured again beside what it started with."""
_ALIKE = 1.02
"""Measured once each: what took so many times as long as the start may be faster."""


@dataclass(frozen=True, eq=False)
class Contender:
    """`task`, its `space`, the knobs in use that it starts with, and their cost in nanoseconds or
    instructions a call."""

    task: Task
    space: KnobSpace
    start: Values
    cost: float

    def starts(self, related: Sequence[Winners]) -> list[Mapping[str, int]]:
        """Vectors to try early: the analytic default, then what won on related targets."""
        theirs = [
            winner.knobs
            for winners in related
            for winner in winners.winners
            if (winner.kernel, winner.shape) == self.task.key
        ]
        return [self.space.start, *theirs]

    def finalists(self, history: Sequence[tuple[Values, float]]) -> list[Values]:
        """The best of all trials, a `Database.history`, that were not slower than the start and
        are legal still."""
        limit = self.cost * 1e-9 * _ALIKE
        found = {
            self.space.vector(values): values
            for values, seconds in history
            if seconds < limit
            and values != self.start
            and self.space.covers(values)
            and self.space.legal(values)
        }
        return list(found.values())[:FINALISTS]
