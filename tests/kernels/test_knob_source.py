"""Whose knobs a kernel gets."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.errors import TuningError
from efcompile.kernels import gemm, knob_source, registry
from efcompile.kernels.knob_source import ANALYTIC, FOLDER, SHIPPED, Choice
from efcompile.kernels.knobs import with_values
from efcompile.kernels.tuned import TargetClass, Winners
from efcompile.targets.resolve import resolve
from tests.kernels.winners import SHAPE, split, winner, winners

ARM, HOST = resolve("arm64"), resolve("host")
DEFAULT = gemm.default_knobs(SHAPE, ARM)
KERNEL = replace(gemm.KERNEL, legal=lambda shape, target, knobs: knobs.task_panels != 99)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped winners, empty."""
    monkeypatch.setattr(knob_source, "FOLDER", tmp_path)
    monkeypatch.setattr(knob_source, "shipped_winners", knob_source.shipped_winners.__wrapped__)
    return tmp_path


def test_the_analytic_default_without_winners(folder: Path) -> None:
    assert knob_source.knob_source().choose(KERNEL, SHAPE, ARM) == Choice(DEFAULT, "analytic")
    assert SHIPPED.shipped and not ANALYTIC.shipped and not SHIPPED.records


def test_records_come_before_shipped_ones_and_those_before_the_default(folder: Path) -> None:
    mine, theirs = (winner(ARM, task_panels=n) for n in (3, 5))
    winners(ARM, theirs).dump(folder / f"{TargetClass.of(ARM).name}.json")
    records = [winners(ARM, mine), winners(ARM, winner(ARM, task_panels=7))]
    both = knob_source.knob_source(records)
    assert both.choose(KERNEL, SHAPE, ARM) == Choice(
        with_values(DEFAULT, {"task_panels": 3}), "records", mine
    )
    assert both(KERNEL, SHAPE, ARM).task_panels == 3
    shipped = knob_source.knob_source()
    assert shipped.choose(KERNEL, SHAPE, ARM).winner == theirs
    assert shipped.choose(KERNEL, SHAPE, ARM).origin == "shipped"
    assert shipped(KERNEL, replace(SHAPE, m=99), ARM) == gemm.default_knobs(
        replace(SHAPE, m=99), ARM
    )
    assert knob_source.knob_source(shipped=False)(KERNEL, SHAPE, ARM) == DEFAULT


def test_winners_of_another_class_are_not_used(folder: Path) -> None:
    source = knob_source.knob_source([winners(ARM, winner(ARM, task_panels=3))])
    other = resolve("cortex-x1")
    assert source.choose(KERNEL, SHAPE, other).origin == "analytic"
    assert source.choose(KERNEL, SHAPE, replace(ARM, cores=16)).origin == "records"


def test_knobs_that_are_not_legal_here_are_passed_over(folder: Path) -> None:
    bad, good = (winners(ARM, winner(ARM, task_panels=n)) for n in (99, 3))
    assert knob_source.knob_source([bad, good])(KERNEL, SHAPE, ARM).task_panels == 3
    assert knob_source.knob_source([bad]).choose(KERNEL, SHAPE, ARM) == Choice(DEFAULT, "analytic")


def test_knobs_of_another_version_are_an_error(folder: Path) -> None:
    source = knob_source.knob_source([winners(ARM, winner(ARM, panels_of_old=1))])
    with pytest.raises(
        TuningError, match=r"knobs of gemm at Shape\(images=1.*panels_of_old.*again"
    ):
        source(KERNEL, SHAPE, ARM)


def test_splits_are_those_that_pay_by_the_first_who_knows(folder: Path) -> None:
    winners(ARM, splits=(split("mlp(a)"), split("mlp(b)"))).dump(
        folder / f"{TargetClass.of(ARM).name}.json"
    )
    source = knob_source.knob_source([winners(ARM, splits=(split("mlp(a)", 3.0), split("ffn(c)")))])
    assert source.splits(ARM) == ("ffn(c)", "mlp(b)")
    assert knob_source.knob_source().splits(ARM) == ("mlp(a)", "mlp(b)")
    assert source.splits(resolve("cortex-x1")) == ()


def test_what_was_used_of_it(folder: Path) -> None:
    mine, unused = winner(ARM, task_panels=3), winner(ARM, replace(SHAPE, m=99))
    theirs = winner(ARM, replace(SHAPE, m=50), task_panels=5)
    shipped = winners(ARM, theirs, mine, splits=(split("mlp(a)"), split("mlp(b)")))
    shipped.dump(folder / f"{TargetClass.of(ARM).name}.json")
    source = knob_source.knob_source([winners(ARM, mine, unused)])
    chosen = [source.choose(KERNEL, shape, ARM) for shape in (SHAPE, replace(SHAPE, m=50))]
    pairs = [(choice.origin, choice.winner) for choice in chosen]
    assert source.used(ARM, pairs, ["mlp(b)"]) == (
        winners(ARM, mine),
        winners(ARM, theirs, splits=(split("mlp(b)"),)),
    )
    assert source.used(ARM, [("analytic", None)], []) == ()


def test_the_fingerprint_is_of_what_applies(folder: Path) -> None:
    nothing = knob_source.knob_source().fingerprint(ARM)
    one = knob_source.knob_source([winners(ARM, winner(ARM))]).fingerprint(ARM)
    two = knob_source.knob_source([winners(ARM, winner(ARM, task_panels=3))]).fingerprint(ARM)
    elsewhere = knob_source.knob_source([winners(HOST, winner(HOST))]).fingerprint(ARM)
    assert len({nothing, one, two}) == 3 and elsewhere == nothing


def test_shipped_winners_are_read_once_and_quickly(tmp_path: Path) -> None:
    path = tmp_path / "winners.json"
    many = [winner(ARM, replace(SHAPE, m=m)) for m in range(1, 201)]
    winners(ARM, *many).dump(path)
    start = time.perf_counter()
    Winners.load(path)
    assert time.perf_counter() - start < 0.1
    assert knob_source.shipped_winners("no-such-class") is None


def test_shipped_files_are_what_their_names_say() -> None:
    assert (FOLDER / "README.md").exists()
    for path in FOLDER.glob("*.json"):
        shipped = Winners.load(path)
        assert shipped.target.name == path.stem and shipped.kind == "measured"
        assert {w.kernel for w in shipped.winners} <= {kernel.name for kernel in registry.KERNELS}
