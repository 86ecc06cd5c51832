"""Which candidates are worth measuring: a forest over the logarithms of the knobs, for each task.

MetaSchedule's own features describe the scheduled loops, and here these are the plain algorithm
for every candidate: they say nothing about knobs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile.errors import ToolchainError
from efcompile.tuning.space import Values, identify, values_of

_LEAST = 4
"""Fewer measurements say nothing."""
_TREES = 32
_OPTIMISM = 0.5
"""How many deviations of the trees below their mean a candidate is believed to take."""
_FAILED_FACTOR = 4.0
"""A candidate that failed counts as so many times slower than the slowest."""
_SHARPNESS = 4.0

Key = tuple[str, str]


@dataclass
class _Task:
    vectors: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    forest: Any = None


@dataclass
class KnobCostModel:
    """Learns seconds by knobs; `seed` makes it repeatable.  Tasks share nothing.

    Making one raises `ToolchainError` if scikit-learn is missing: before anything is measured.
    """

    seed: int = 0
    _tasks: dict[Key, _Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _forest(self.seed)

    def learn(self, key: Key, values: Mapping[str, int], seconds: float | None) -> None:
        """A measurement of the task `key`; None or infinite for a candidate that failed."""
        task = self._tasks.setdefault(key, _Task())
        task.vectors.append(_features(values))
        task.seconds.append(math.inf if seconds is None else seconds)
        task.forest = None

    def scores(self, key: Key, candidates: Sequence[Mapping[str, int]]) -> NDArray[np.float64]:
        """For each candidate about how many times faster than the best known it may be, to the
        fourth power: positive, so that the search can draw parents by it.  All one while too
        little is known."""
        task = self._tasks.get(key)
        if task is None or sum(map(math.isfinite, task.seconds)) < _LEAST:
            return np.ones(len(candidates))
        times = np.array(task.seconds)
        finite = times[np.isfinite(times)]
        target = np.log(np.where(np.isfinite(times), times, finite.max() * _FAILED_FACTOR))
        if task.forest is None:
            task.forest = _forest(self.seed)
            task.forest.fit(np.array(task.vectors), target)
        rows = np.array([_features(values) for values in candidates], np.float32)
        trees = np.array([tree.tree_.predict(rows)[:, 0] for tree in task.forest.estimators_])
        expected = trees.mean(0) - _OPTIMISM * trees.std(0)
        scores: NDArray[np.float64] = np.exp(_SHARPNESS * (target.min() - expected))
        return scores

    # What MetaSchedule calls.

    def predict(self, context: Any, candidates: Sequence[Any]) -> NDArray[np.float64]:
        """MetaSchedule's scores of its candidates, all of one task."""
        key, _ = identify(candidates[0].sch.mod)
        return self.scores(key, [values_of(candidate.sch.trace) for candidate in candidates])

    def update(self, context: Any, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        """Nothing: results are learned as they are recorded."""

    def load(self, path: str) -> None:
        raise NotImplementedError("the model is learned anew from the records")

    def save(self, path: str) -> None:
        raise NotImplementedError("the model is learned anew from the records")


def _features(values: Values | Mapping[str, int]) -> list[float]:
    return [math.log2(1 + abs(values[path])) for path in sorted(values)]


def _forest(seed: int) -> Any:
    try:
        from sklearn.ensemble import ExtraTreesRegressor
    except ImportError:
        raise ToolchainError(
            "tuning learns with scikit-learn, which is not installed: "
            "run `pip install 'efcompile[tune]'`"
        ) from None
    return ExtraTreesRegressor(n_estimators=_TREES, random_state=seed, n_jobs=1)
