"""Measurements compare only with their like."""

import dataclasses

import pytest

from efcompile.devices.measurement import Kind, Measurement, summarise
from efcompile.errors import DeviceError


def _measurement(value: float, unit: str = "ns", kind: Kind = "measured") -> Measurement:
    return Measurement(
        value=value,
        unit=unit,
        spread=(value - 1, value + 1),
        samples=9,
        device="local",
        target="host",
        threads=1,
        kind=kind,
        versions={"efcompile": "0.1.0"},
    )


def test_ratio_and_difference() -> None:
    fast, slow = _measurement(10), _measurement(40)
    assert fast.ratio_to(slow) == 0.25
    assert slow.minus(fast) == 30


@pytest.mark.parametrize(
    ("unit", "kind", "what"),
    [("ns", "modelled", "kind"), ("instructions", "measured", "unit")],
)
def test_different_kinds_and_units_are_never_compared(unit: str, kind: Kind, what: str) -> None:
    mine, other = _measurement(10), _measurement(10, unit, kind)
    for compare, against in ((mine.ratio_to, other), (mine.minus, other), (other.minus, mine)):
        with pytest.raises(DeviceError, match=f"different {what} cannot be compared"):
            compare(against)


def test_no_ratio_to_zero() -> None:
    with pytest.raises(DeviceError, match="zero ns"):
        _measurement(1).ratio_to(_measurement(0))


def test_a_measurement_is_frozen_dated_and_hashable() -> None:
    one = _measurement(1)
    assert len(one.date) == len("2026-01-01")
    assert hash(one) == hash(dataclasses.replace(one))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.value = 2  # type: ignore[misc]


def test_summary_is_median_and_quartiles() -> None:
    assert summarise([5, 1, 2, 4, 3]) == (3, (2, 4))
    assert summarise([7]) == (7, (7, 7))
