"""What a task's search has seen, and where it goes on from."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from efcompile.tuning.space import KnobSpace, Values, Vector

_ELITE = 6
"""Measured vectors that new ones grow from."""
_ATTEMPTS = 12
"""Mutations tried until one is legal and new: each asks `legal` at most once."""
_DRAWS = 30
"""Vectors drawn until one is legal and new; of some spaces one in twenty is."""
_WALK = 12
"""Steps from a legal vector to one that has little to do with it."""
_ENUMERABLE = 20_000
"""A space up to this size is gone through to its end; of a larger one, what mutation reaches."""


@dataclass
class Frontier:
    """Which vectors of `space` have been handed out for measuring, here or in an earlier run, and
    the best of them."""

    space: KnobSpace
    random: random.Random
    starts: list[Values] = field(default_factory=list)
    _seen: set[Vector] = field(default_factory=set)
    _measured: list[tuple[float, Values]] = field(default_factory=list)
    _rest: list[Values] | None = None

    def fresh(self, values: Mapping[str, int]) -> bool:
        """Whether `values` are legal and have not been handed out."""
        return self.space.vector(values) not in self._seen and self.space.legal(values)

    def hand_out(self, values: Mapping[str, int]) -> None:
        """`values` go to be measured, and never again."""
        self._seen.add(self.space.vector(values))

    def learn(self, values: Mapping[str, int], seconds: float | None) -> None:
        """A measurement; None or infinite if it failed."""
        self.hand_out(values)
        if seconds is not None and math.isfinite(seconds):
            self._measured.append((seconds, dict(values)))
            self._measured.sort(key=lambda pair: pair[0])

    def parent(self) -> Values | None:
        """One of the best measured vectors, the better the likelier; None before there are any."""
        elite = self._measured[:_ELITE]
        if not elite:
            return None
        best = elite[0][0]
        weights = [(best / seconds) ** 4 for seconds, _ in elite]
        return self.space.nearest(self.random.choices(elite, weights)[0][1])

    def mutate(self, values: Mapping[str, int]) -> Values | None:
        """A fresh vector that differs from `values` in one or two knobs, most often by a step to
        a neighbour among the sorted choices; None if a few attempts find none."""
        free = [path for path, choices in self.space.values.items() if len(choices) > 1]
        if not free:
            return None
        for _ in range(_ATTEMPTS):
            changed = dict(values)
            count = min(len(free), self.random.choice((1, 1, 2)))
            for path in self.random.sample(free, count):
                changed[path] = self._step(self.space.values[path], changed[path])
            if self.fresh(changed):
                return changed
        return None

    def stranger(self) -> Values | None:
        """A fresh vector from anywhere in the space; None if a few attempts find none."""
        for _ in range(_DRAWS):
            drawn = {
                path: self.random.choice(choices) for path, choices in self.space.values.items()
            }
            if self.fresh(drawn):
                return drawn
        walked = self.space.start
        for _ in range(_WALK):
            path = self.random.choice(list(self.space.values))
            stepped = {**walked, path: self.random.choice(self.space.values[path])}
            walked = stepped if self.space.legal(stepped) else walked
        return walked if self.fresh(walked) else None

    def _step(self, choices: Sequence[int], value: int) -> int:
        at = choices.index(value)
        neighbours = [i for i in (at - 1, at + 1) if 0 <= i < len(choices)]
        if self.random.random() < 0.7:
            return choices[self.random.choice(neighbours)]
        return self.random.choice([choice for choice in choices if choice != value])

    def take_starts(self, count: int) -> list[Values]:
        """Up to `count` of the starting vectors that are fresh."""
        taken: list[Values] = []
        while self.starts and len(taken) < count:
            values = self.space.nearest(self.starts.pop(0))
            if self.fresh(values):
                self.hand_out(values)
                taken.append(values)
        return taken

    def take_rest(self, count: int) -> list[Values]:
        """Up to `count` fresh vectors by going through the space (a large one: around the best),
        for when the search proposes too few.  None at all means that it is exhausted."""
        taken: list[Values] = []
        for values in self._remaining():
            if len(taken) == count:
                break
            if self.fresh(values):
                self.hand_out(values)
                taken.append(values)
        return taken

    def _remaining(self) -> Iterable[Values]:
        if self.space.size <= _ENUMERABLE:
            if self._rest is None:
                self._rest = list(self.space.all())
                self.random.shuffle(self._rest)
            self._rest = [values for values in self._rest if self.fresh(values)]
            return self._rest
        mutants = (self.mutate(self.parent() or self.space.start) for _ in range(200))
        return (values for values in mutants if values is not None)


def replay(frontier: Frontier, trace: Any, values: Mapping[str, int]) -> Any:
    """`trace`, of the space's template, with the decisions that mean `values`."""
    paths = iter(frontier.space.values.items())
    for instruction in trace.insts:
        if instruction.kind.name == "SampleCategorical":
            path, choices = next(paths)
            decision = choices.index(values[path])
            trace = trace.with_decision(instruction, decision, remove_postproc=True)
    return trace
