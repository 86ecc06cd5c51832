"""Stages of a model, and what each of them must compute."""

import pytest

from efcompile.errors import PassVerificationError
from efcompile.models.randomize import randomize
from efcompile.passes.pipeline import build_pipeline
from efcompile.report.subject import subject_of
from tests.report.blocks import Blocks, Rough, Swapped, Wrong, subject


def test_a_pass_that_rewrites_nothing_keeps_the_graph() -> None:
    made = subject("fold-batchnorm", "fold-layer-scale", Swapped())
    captured, folded, scaled, swapped, legal = made.graphs
    names = [step.name for step in made.pipeline]
    assert names == ["fold-batchnorm", "fold-layer-scale", "swapped", "legalise"]
    assert captured is made.captured.graph_module
    assert scaled is folded and len({captured, folded, swapped, legal}) == 4


def test_progress_is_told() -> None:
    heard: list[tuple[object, ...]] = []
    pipeline = build_pipeline(["fold-batchnorm", "merge-heads"])
    model = randomize(Blocks().eval())
    made = subject_of(model, None, pipeline, "m", lambda *words: heard.append(words))
    assert heard == [
        ("passes", "fold-batchnorm", 1, 3),
        ("passes", "merge-heads", 2, 3),
        ("passes", "legalise", 3, 3),
    ]
    assert made.captured.example_inputs[0].shape == (1, *Blocks.default_input_size)


def test_exact_stages_are_judged_by_the_captured_graph() -> None:
    made = subject("fold-batchnorm", Swapped())
    assert all(made.judge(i) is made.graphs[0] for i in range(len(made.graphs)))


def test_an_approximate_pass_is_the_judge_of_what_follows() -> None:
    made = subject(Swapped(), Rough(), "fold-batchnorm")
    captured, _, rough, _, _ = made.graphs
    judges = [made.judge(i) for i in range(len(made.graphs))]
    assert judges == [captured, captured, rough, rough, rough]


def test_a_wrong_pass_is_rejected_by_name() -> None:
    with pytest.raises(PassVerificationError, match="pass wrong changed the result"):
        subject("fold-batchnorm", Wrong())
