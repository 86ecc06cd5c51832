"""Where figures come from."""

from dataclasses import replace
from typing import Any

import pytest

from efcompile.devices.measurement import Measurement
from efcompile.errors import DeviceError
from efcompile.report.provenance import check_comparable, provenance_of

MEASURED = Measurement(
    value=1.0,
    unit="ns",
    spread=(1.0, 1.0),
    samples=1,
    device="local",
    target="host",
    threads=2,
    kind="measured",
    versions={"torch": "2.13.0"},
    date="2026-01-02",
)


def test_it_says_all_that_the_measurement_does() -> None:
    found = provenance_of(MEASURED, "some core")
    assert found.model_dump() == {
        "device": "local",
        "target": "host",
        "machine": "some core",
        "threads": 2,
        "kind": "measured",
        "versions": {"torch": "2.13.0"},
        "date": "2026-01-02",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "emulated"}, "different kind"),
        ({"device": "adb"}, "different device"),
        ({"target": "arm64"}, "different target"),
        ({"threads": 1}, "different threads"),
    ],
)
def test_what_was_measured_differently_is_not_compared(change: dict[str, Any], words: str) -> None:
    one = provenance_of(MEASURED, "some core")
    with pytest.raises(DeviceError, match=words):
        check_comparable(one, provenance_of(replace(MEASURED, **change), "some core"))


def test_nor_on_another_machine_but_later_and_with_other_versions() -> None:
    one = provenance_of(MEASURED, "some core")
    with pytest.raises(DeviceError, match=r"different machine .* 'some core' .* 'another'"):
        check_comparable(one, provenance_of(MEASURED, "another"))
    later = replace(MEASURED, date="2027-01-01", versions={"torch": "2.14.0"})
    check_comparable(one, provenance_of(later, "some core"))
