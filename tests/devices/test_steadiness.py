"""Spread, drift and equality of repeats."""

import pytest

from efcompile.devices.steadiness import steadiness


def test_equal_runs_are_equal() -> None:
    found = steadiness([(5.0,), (5.0, 5.0)])
    assert (found.value, found.spread, found.drift, found.equal) == (5.0, 0.0, 0.0, True)


def test_each_run_counts_by_its_median() -> None:
    assert steadiness([(1.0, 2.0, 90.0), (2.0,)]).value == 2.0


def test_spread_is_the_quartiles_distance() -> None:
    assert steadiness([(v,) for v in (8.0, 9.0, 10.0, 11.0, 12.0)]).spread == pytest.approx(0.2)


def test_drift_has_a_sign() -> None:
    runs = [(v,) for v in (10.0, 10.0, 10.0, 10.0, 9.0, 9.0)]
    assert steadiness(runs).drift == pytest.approx(-0.1)
    assert not steadiness(runs).equal
