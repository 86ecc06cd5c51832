"""The model that says which candidates to measure."""

import sys
from random import Random

import numpy as np
import pytest

from efcompile.errors import ToolchainError
from efcompile.tuning.cost_model import KnobCostModel
from efcompile.tuning.space import knob_space
from tests.tuning.toy import seconds, task

KEY = ("toy", "Shape(m=64)")


def _taught(count: int, failing: bool = False) -> KnobCostModel:
    space, draw, model = knob_space(task()), Random(1), KnobCostModel()
    for values in draw.sample(list(space.all()), count):
        failed = failing and values["tile.rows"] < 4
        model.learn(KEY, values, None if failed else seconds(values))
    return model


def test_it_ranks_candidates_by_what_it_has_seen() -> None:
    space, model = knob_space(task()), _taught(60)
    candidates = Random(2).sample(list(space.all()), 200)
    scores = model.scores(KEY, candidates)
    assert (scores > 0).all()
    times = np.array([seconds(values) for values in candidates])
    ranks = [np.argsort(np.argsort(x)) for x in (-scores, times)]
    assert np.corrcoef(ranks[0], ranks[1])[0, 1] > 0.7


def test_candidates_like_those_that_failed_rank_low() -> None:
    space, model = knob_space(task()), _taught(80, failing=True)
    candidates = list(space.all())
    scores = model.scores(KEY, candidates)
    few = np.array([values["tile.rows"] < 4 for values in candidates])
    assert scores[few].mean() < 0.2 * scores[~few].mean()


def test_it_repeats_itself() -> None:
    candidates = list(knob_space(task()).all())[:50]
    assert (_taught(20).scores(KEY, candidates) == _taught(20).scores(KEY, candidates)).all()


def test_all_are_alike_while_too_little_is_known() -> None:
    model, candidates = KnobCostModel(), list(knob_space(task()).all())[:5]
    assert (model.scores(KEY, candidates) == 1).all()
    for values in candidates:
        model.learn(KEY, values, None)
    assert (model.scores(KEY, candidates) == 1).all()


def test_tasks_share_nothing() -> None:
    candidates = list(knob_space(task()).all())[:5]
    assert (_taught(20).scores(("toy", "Shape(m=65)"), candidates) == 1).all()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ToolchainError, match=r"scikit-learn.*pip install 'efcompile\[tune\]'"):
        KnobCostModel()
