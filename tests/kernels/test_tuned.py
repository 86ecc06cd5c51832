"""Winners as a file: what they apply to, merging, and what damage is told of."""

from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.errors import TuningError
from efcompile.kernels.tuned import TargetClass, Winners
from efcompile.targets.resolve import resolve
from tests.kernels.winners import SHAPE, split, winner, winners

ARM, X86 = resolve("arm64"), resolve("x86_64-linux-gnu", cpu="x86-64-v3")


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "winners.json"
    made = winners(ARM, winner(ARM), splits=(split(),))
    made.dump(path)
    assert Winners.load(path) == made
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    lines = path.read_text().splitlines()
    assert sum(repr(SHAPE) in line for line in lines) == 1 and len(lines) == 14


def test_a_class_is_all_that_knobs_depend_on_but_cores() -> None:
    name = TargetClass.of(ARM).name
    assert name.startswith("aarch64-cortex-a76-")
    assert TargetClass.of(replace(ARM, cores=3, name="other", llc_bytes=1)).name == name
    assert TargetClass.of(replace(ARM, features=ARM.features[::-1])).name == name
    for change in ({"cpu": "x"}, {"l1_bytes": 1}, {"l2_bytes": 1}, {"features": ()}):
        assert TargetClass.of(replace(ARM, **change)).name != name


def test_what_they_apply_and_are_related_to() -> None:
    made = winners(ARM)
    assert made.applies_to(replace(ARM, cores=1)) and made.related_to(ARM)
    other = resolve("cortex-x1")
    assert not made.applies_to(other) and made.related_to(other)
    assert not made.applies_to(X86) and not made.related_to(X86)


def test_merging_keeps_the_later_word_on_each_kernel() -> None:
    other = replace(SHAPE, m=14)
    earlier = winners(
        ARM, winner(ARM, task_panels=1), winner(ARM, other), splits=(split("mlp(a)"), split())
    )
    later = winners(ARM, winner(ARM, task_panels=2), splits=(split(apart=3.0),))
    merged = earlier.merge(later)
    assert [(w.shape, w.knobs["task_panels"]) for w in merged.winners] == [
        (repr(SHAPE), 2),
        (repr(other), winner(ARM, other).knobs["task_panels"]),
    ]
    assert [(s.signature, s.pays) for s in merged.splits] == [("mlp(a)", True), ("mlp(x)", False)]


def test_what_is_of_two_kinds_is_not_merged() -> None:
    with pytest.raises(TuningError, match=r"cannot merge measured records of aarch64.*emulated"):
        winners(ARM).merge(winners(ARM, kind="emulated"))
    with pytest.raises(TuningError, match="cannot merge"):
        winners(ARM).merge(winners(X86))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"kind": "measured",', '"kind": "measured"', r"Invalid JSON: .* line 6 column"),
        ('"best": 1.5', '"best": "fast"', r"winners\.0\.best: Input should be a valid number"),
        ('"best": 1.5', '"best": 1e999', r"winners\.0\.best: Input should be a finite number"),
        ('"format": 1', '"format": 2', r"format: Input should be 1"),
        ('"threads": 1', '"treads": 1', r"threads: Field required"),
        ('"task_panels": ', '"task_panels": 0.', r"winners\.0\.knobs\.task_panels: Input should"),
    ],
)
def test_damage_is_named_by_line_or_field(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "winners.json"
    winners(ARM, winner(ARM)).dump(path)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(TuningError, match=rf"{path} is damaged: {told}.*tune again"):
        Winners.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TuningError, match=r"cannot read .*gone\.json: No such file"):
        Winners.load(tmp_path / "gone.json")


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "winners.json").mkdir()
    with pytest.raises(TuningError, match="cannot write"):
        winners(ARM).dump(tmp_path / "winners.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["winners.json"]
