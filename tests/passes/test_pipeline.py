"""The pipeline's order, and what users may do to it."""

import pytest

from efcompile.errors import InputError
from efcompile.passes.fold_batchnorm import FoldBatchnorm
from efcompile.passes.pipeline import CONSTRAINTS, DIALECT, PIPELINE, STRUCTURAL, build_pipeline
from efcompile.passes.split_fused import SplitFused


def _names(*args: object, **kwargs: object) -> list[str]:
    return [p.name for p in build_pipeline(*args, **kwargs)]  # type: ignore[arg-type]


def test_the_default_keeps_its_own_rules() -> None:
    assert build_pipeline() == PIPELINE
    assert len({p.name for p in PIPELINE}) == len(PIPELINE)
    assert len(PIPELINE) == len(STRUCTURAL) + 1 + len(DIALECT)


def test_every_rule_is_about_passes_that_exist() -> None:
    known = {*(p.name for p in PIPELINE), SplitFused.name}
    for rule in CONSTRAINTS:
        assert {rule.first, rule.then} <= known and rule.reason


def test_passes_by_name_and_by_object() -> None:
    assert _names(["fold-batchnorm", "legalise"]) == ["fold-batchnorm", "legalise"]
    own = FoldBatchnorm()
    assert build_pipeline([own])[0] is own


def test_legalise_is_put_between_the_phases() -> None:
    assert _names([]) == ["legalise"]
    assert _names(["fold-batchnorm", "fuse-mlp"]) == ["fold-batchnorm", "legalise", "fuse-mlp"]


def test_disabled_passes_are_left_out() -> None:
    names = _names(None, ["fold-batchnorm", "fuse-mlp"])
    assert names == [p.name for p in PIPELINE if p.name not in ("fold-batchnorm", "fuse-mlp")]


def test_splits_go_behind_the_default_and_where_they_are_named() -> None:
    assert build_pipeline(None, (), ["s"]) == (*PIPELINE, SplitFused(("s",)))
    assert build_pipeline(None, ["split-fused"], ["s"]) == PIPELINE
    assert _names(["fuse-mlp"], (), ["s"]) == ["legalise", "fuse-mlp"]
    named = build_pipeline(["fuse-mlp", "split-fused"], (), ["s"])
    assert named[-1] == SplitFused(("s",)) and len(named) == 3
    assert _names(["split-fused"]) == ["legalise", "split-fused"]


def test_legalise_cannot_be_disabled() -> None:
    with pytest.raises(InputError, match="legalise cannot be disabled"):
        build_pipeline(None, ["legalise"])


@pytest.mark.parametrize("as_disabled", [False, True])
def test_unknown_names_get_the_nearest_one(as_disabled: bool) -> None:
    with pytest.raises(InputError, match="did you mean 'fold-batchnorm'"):
        if as_disabled:
            build_pipeline(None, ["fold-batch-norm"])
        else:
            build_pipeline(["fold-batch-norm"])


@pytest.mark.parametrize("rule", CONSTRAINTS, ids=lambda rule: f"{rule.first}-{rule.then}")
def test_an_order_that_breaks_a_rule_is_refused(rule: object) -> None:
    first, then = rule.first, rule.then  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=f"{first} must come before {then}"):
        build_pipeline([then, first])
