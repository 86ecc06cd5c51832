"""Measuring in turns: rounds within a budget, and what is refused."""

import math
from pathlib import Path

import pytest

from efcompile.bundle.library import Library
from efcompile.bundle.load import Bundle
from efcompile.devices.local import Local
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError, InputError
from efcompile.report import contest
from efcompile.report.contest import LEAST_ROUNDS, MOST_ROUNDS, check_budget, hold_contest
from efcompile.report.stages import Stages
from efcompile.targets.resolve import resolve
from tests.report.blocks import subject


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Two stages for this machine."""
    made = subject("fold-batchnorm")
    stages = Stages(made, resolve("host"), Local(), 1, tmp_path_factory.mktemp("stages"))
    names = ("captured", "folded")
    built = [
        stages.build(name, graph, made.graphs[0])
        for name, graph in zip(names, made.graphs[:2], strict=True)
    ]
    return {entry.label: entry.bundle for entry in built}


def test_every_contestant_has_a_sample_in_every_round(bundles: dict[str, Bundle]) -> None:
    heard: list[tuple[object, ...]] = []
    found = hold_contest(bundles, Local(), 2, 20.0, lambda *words: heard.append(words))
    assert found.rounds == MOST_ROUNDS
    assert heard[-1] == ("measure", "round", MOST_ROUNDS, MOST_ROUNDS)
    for score in found.scores.values():
        assert len(score.samples) == score.total.samples == MOST_ROUNDS
        assert score.total.spread[0] <= score.total.value <= score.total.spread[1]
        assert (score.total.kind, score.total.unit, score.total.threads) == ("measured", "ns", 2)
        assert score.classes == {}


def test_a_small_budget_gives_the_fewest_rounds(bundles: dict[str, Bundle]) -> None:
    found = hold_contest(bundles, Local(), 1, 1e-6)
    assert found.rounds == LEAST_ROUNDS


def test_each_turn_loads_the_library_anew(
    bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []

    def load(bundle: Bundle, threads: int) -> Library:
        loaded.append(bundle.path)
        return Library(bundle, threads)

    monkeypatch.setattr(contest, "Library", load)
    hold_contest(bundles, Local(), 1, 1e-6)
    paths = [bundle.path for bundle in bundles.values()]
    # A round to warm up, which starts with the last, and five that count.
    assert loaded == [paths[(turn // 2 + turn + 1) % 2] for turn in range(2 * (1 + LEAST_ROUNDS))]


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan])
def test_a_budget_that_is_no_time_is_refused(budget: float) -> None:
    check_budget(Local(), 0.1)
    with pytest.raises(InputError, match="must be a positive number of seconds"):
        check_budget(Local(), budget)


def test_counting_takes_no_budget_and_one_thread(bundles: dict[str, Bundle]) -> None:
    check_budget(Qemu(), None)
    with pytest.raises(InputError, match="a budget changes nothing"):
        check_budget(Qemu(), 5.0)
    with pytest.raises(DeviceError, match="Measure with threads=1"):
        hold_contest(bundles, Qemu(), 2)


def test_other_devices_are_refused(bundles: dict[str, Bundle]) -> None:
    class Other:
        name = "adb"

    with pytest.raises(DeviceError, match="on local or qemu, not on adb"):
        hold_contest(bundles, Other(), 1)  # type: ignore[arg-type]
