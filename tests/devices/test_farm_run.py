"""Judging devices: whose fault a failure is, who is put aside, and that nothing is lost."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.farm import Farm
from efcompile.devices.farm_run import nonsense
from efcompile.devices.tracker import Unreachable
from efcompile.errors import BundleError, DeviceError
from efcompile.targets.host import detect_host
from tests.devices.liar import GOOD, Liar

HOST = detect_host()
SETTINGS = TrialSettings(timeout=1)
TRIALS = [Trial(str(i), (), ()) for i in range(12)]


def honest(trials: Sequence[Trial]) -> list[Outcome]:
    time.sleep(0.01)
    return [replace(GOOD, values=(100.0 + int(one.name),)) for one in trials]


def measured(farm: Farm, interleaved: bool = False) -> list[Outcome]:
    told: dict[int, Outcome] = {}

    def watch(index: int, outcome: Outcome) -> None:
        assert index not in told
        told[index] = outcome

    found = farm.measure_trials(TRIALS, HOST, SETTINGS, interleaved=interleaved, watch=watch)
    assert [told[i] for i in range(len(TRIALS))] == found
    return found


def right(found: Sequence[Outcome]) -> bool:
    return [one.values for one in found] == [(100.0 + i,) for i in range(len(TRIALS))]


def test_all_devices_work() -> None:
    devices = [Liar(honest), Liar(honest), Liar(honest)]
    farm = Farm(devices)
    assert right(measured(farm))
    assert all(device.calls for device in devices)
    assert sum(state.done for state in farm.states()) == len(TRIALS)
    assert {state.state for state in farm.states()} == {"ready"}


NONSENSE = {
    "nothing": replace(GOOD, values=()),
    "nan": replace(GOOD, values=(math.nan,)),
    "zero": replace(GOOD, values=(100.0, 0.0)),
    "negative": replace(GOOD, values=(-1.0,)),
    "wrong numbers": replace(GOOD, error=0.5),
    "no numbers": replace(GOOD, error=math.nan),
    "crashes": replace(GOOD, values=(), error=math.nan, failure="crashed"),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_device_that_answers_nonsense_is_put_aside(answer: Outcome) -> None:
    liar = Liar(lambda trials: [answer for _ in trials])
    farm = Farm({"honest": Liar(honest), "liar": liar})
    assert right(measured(farm))
    good, bad = farm.states()
    assert (good.state, good.done, good.failed) == ("ready", len(TRIALS), 0)
    assert (bad.state, bad.done, bad.failed) == ("put aside", 0, 3)
    assert bad.note
    calls = liar.calls
    assert right(measured(farm)) and liar.calls == calls  # for good


def test_fewer_answers_than_trials_are_nonsense() -> None:
    farm = Farm([Liar(honest), Liar(lambda trials: honest(trials)[:-1])])
    assert right(measured(farm))


def test_what_fails_everywhere_is_the_trials_own_fault() -> None:
    def but_for_five(trials: Sequence[Trial]) -> list[Outcome]:
        broken = {"3": NONSENSE["crashes"], "5": NONSENSE["wrong numbers"]}
        return [broken.get(t.name, o) for t, o in zip(trials, honest(trials), strict=True)]

    devices = [Liar(but_for_five), Liar(but_for_five)]
    farm = Farm(devices)
    found = measured(farm)
    assert found[3].failure == "crashed" and found[5].error == 0.5
    assert [o.values for o in found if o.values and o.error < 1] != []
    assert {state.state for state in farm.states()} == {"ready"}
    assert sum(state.failed for state in farm.states()) == 0


def test_the_only_device_is_believed_what_trials_do_but_no_nonsense() -> None:
    farm = Farm([Liar(lambda trials: [NONSENSE["crashes"] for _ in trials])])
    assert all(outcome.failure for outcome in measured(farm))
    farm = Farm([Liar(lambda trials: [NONSENSE["zero"] for _ in trials])])
    with pytest.raises(DeviceError, match=r"no device is left \(liar 1: it gave samples .*doctor"):
        measured(farm)


def test_a_device_that_cannot_be_used_is_tried_again_and_then_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("efcompile.devices.farm_run._PAUSE", 0.01)

    def sometimes(trials: Sequence[Trial]) -> list[Outcome]:
        if moody.calls % 2:
            raise DeviceError("not now")
        return honest(trials)

    moody = Liar(sometimes)
    assert right(measured(Farm([moody])))

    def never(trials: Sequence[Trial]) -> list[Outcome]:
        raise DeviceError("out of space")

    farm = Farm([Liar(never)])
    with pytest.raises(DeviceError, match=r"no device is left \(liar 1: out of space\)"):
        measured(farm)
    assert farm.states()[0].state == "gone" and farm.states()[0].failed == 3


def test_one_that_was_waited_for_is_gone_at_once() -> None:
    def away(trials: Sequence[Trial]) -> list[Outcome]:
        raise Unreachable("nothing listens")

    farm = Farm([Liar(honest), Liar(away)])
    assert right(measured(farm))
    assert farm.states()[1].state == "gone" and farm.states()[1].failed == 1


def test_one_that_hangs_is_given_up() -> None:
    release = threading.Event()

    def hangs(trials: Sequence[Trial]) -> list[Outcome]:
        release.wait(60)
        return [NONSENSE["zero"] for _ in trials]

    farm = Farm([Liar(honest), Liar(hangs)], overhead=-2.5)  # a job of three: half a second
    start = time.monotonic()
    assert right(measured(farm))
    assert time.monotonic() - start < 20
    assert farm.states()[1].state == "gone"
    release.set()  # what it says now is not heard
    assert right(measured(farm))


def test_trials_that_take_turns_stay_together() -> None:
    seen: list[int] = []

    def noting(trials: Sequence[Trial]) -> list[Outcome]:
        seen.append(len(trials))
        return honest(trials)

    def half(trials: Sequence[Trial]) -> list[Outcome]:
        return [*honest(trials)[:-1], NONSENSE["zero"]]

    farm = Farm([Liar(half), Liar(noting)])
    assert right(measured(farm, interleaved=True))
    assert set(seen) <= {len(TRIALS)}
    only = Farm([Liar(half)])
    with pytest.raises(DeviceError, match="no device is left"):
        measured(only, interleaved=True)


def test_numbers_of_another_kind_are_not_mixed() -> None:
    def emulated(trials: Sequence[Trial]) -> list[Outcome]:
        time.sleep(0.1)
        return [replace(outcome, kind="emulated") for outcome in honest(trials)]

    farm = Farm([Liar(honest), Liar(emulated)])
    assert right(measured(farm))
    assert {o.kind for o in measured(farm)} == {"measured"}


def test_an_error_of_the_trials_is_nobodys_fault() -> None:
    def refuse(trials: Sequence[Trial]) -> list[Outcome]:
        raise BundleError("not of one piece")

    with pytest.raises(BundleError, match="not of one piece"):
        measured(Farm([Liar(refuse)]))


def test_what_is_nonsense() -> None:
    assert not nonsense(GOOD) and not nonsense(NONSENSE["crashes"])
    assert nonsense(replace(GOOD, error=-1.0)) and nonsense(NONSENSE["nan"])
