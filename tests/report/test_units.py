import pytest

from efcompile.report.document import Figure
from efcompile.report.units import error, exact, human, interval, percent, scale_for
from tests.report import example

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "ns", "0 ns"),
        (820, "ns", "820 ns"),
        (45_600, "ns", "45.6 µs"),
        (13_621_407, "ns", "13.6 ms"),
        (-13_621_407, "ns", f"{MINUS}13.6 ms"),
        (999_960_000, "ns", "1.00 s"),
        (999_400, "ns", "999 µs"),
        (440_605_517, "instructions", "441 M instr"),
        (1_806_336, "bytes", "1.81 MB"),
        (512, "bytes", "512 B"),
        (267e9, "FLOP/s", "267 GFLOP/s"),
        (11.4e9, "B/s", "11.4 GB/s"),
        (0.25, "ns", "0.25 ns"),
    ],
)
def test_three_digits_and_a_fitting_unit(value: float, unit: str, text: str) -> None:
    assert human(value, unit) == text


def test_signs() -> None:
    assert human(1.5e6, "ns", signed=True) == "+1.50 ms"
    assert human(-1.5e6, "ns", signed=True) == f"{MINUS}1.50 ms"
    assert scale_for("ns", 5e6).number(-100, signed=True) == "0.00", "no minus before a zero"
    assert percent(-0.004) == "0 %"
    assert percent(-0.396) == f"{MINUS}40 %"


def _figure(value: float, low: float, high: float, samples: int = 41) -> Figure:
    update = {"value": value, "low": low, "high": high, "samples": samples}
    return example.Factory().figure(0).model_copy(update=update)


def test_intervals() -> None:
    scale = scale_for("ns", 1.5e6)
    assert interval(_figure(-1.2e6, -1.3e6, -1e6), scale) == f"{MINUS}1.30 to {MINUS}1.00"
    assert interval(_figure(5, 5, 5), scale) == ""


def test_exact_says_it_all() -> None:
    where = example.Factory(threads=2).provenance()
    assert exact(_figure(1234567, 1200000, 1300000), where) == (
        "1,234,567 ns (1,200,000 to 1,300,000); 41 samples, measured on local, 2 threads"
    )
    assert exact(_figure(-7.5, -7.5, -7.5, 1), where).startswith(f"{MINUS}7.5 ns; 1 sample,")


def test_errors() -> None:
    assert (error(0), error(3.94e-6)) == ("0", "3.9e-06")
