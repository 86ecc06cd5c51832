import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from markupsafe import escape

from efcompile.report.document import Report
from efcompile.report.html import render_html
from tests.report import example
from tests.report.strange import reports

VOID = {"meta", "link"}


class _Outline(HTMLParser):
    """Tags that are open at the end or closed out of turn, and all text and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.scripts = 0
        self.addresses: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.wrong += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # in SVG, where it is its own end

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def _outline(page: str) -> _Outline:
    outline = _Outline()
    outline.feed(page)
    outline.close()
    assert (outline.open, outline.wrong) == ([], [])
    assert outline.scripts == 1
    outside = [to for to in outline.addresses if not to.startswith(("#", "data:"))]
    assert outside == []
    return outline


def test_the_sections() -> None:
    assert _outline(render_html(example.measured())).headings[1:] == [
        "What each pass brought",
        "Before and after, by class",
        "Kernels",
        "Memory over the plan",
        "All passes, all numbers",
        "What was changed, and what was refused",
        "Provenance",
    ]


def test_a_measured_report_is_a_page(measured: Report) -> None:
    page = render_html(measured)
    _outline(page)
    assert all(row.name in page for row in measured.ledger.rows)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(reports())
def test_every_report_is_a_sound_page(report: Report) -> None:
    page = render_html(report)
    _outline(page)
    assert str(escape(report.model)) in page
    places = re.findall(r' (?:x|y|width|height|x1|x2)="([^"]*)%"', page)
    assert all(0 <= float(place) <= 100 for place in places)


def test_columns_of_the_gate_and_of_leave_one_out_only_where_they_are() -> None:
    plain, full = (
        render_html(example.measured()),
        render_html(example.measured(alone=True, gated=True)),
    )
    for text in ('<th scope="col">gate</th>', "leave-one-out</th>"):
        assert text not in plain
        assert text in full
    assert "✗ dropped" in full


def test_under_emulation_there_are_no_rates_and_no_rooflines() -> None:
    page = render_html(example.emulated())
    for text in ("GFLOP/s", "roofline</button>", "Whiskers", 'class="whisker"'):
        assert text not in page
    assert "M instr" in page
    assert "By class of instruction" in page


def test_differences_have_signs_and_arrows() -> None:
    page = render_html(example.measured())
    assert "▼ \N{MINUS SIGN}3.63 ms" in page
    assert "▲ +0.32 ms" in page


def test_exact_numbers_are_at_hand() -> None:
    report = example.measured()
    total = report.ledger.rows[0].cost.total.value
    assert f"{total:,.0f} ns" in render_html(report)


def test_without_profiles_the_page_says_so() -> None:
    page = render_html(example.measured(profiles=False))
    assert page.count("was profiled") + page.count("was not profiled") == 3


@pytest.mark.parametrize("limit", [300_000])
def test_the_page_is_small(limit: int) -> None:
    assert len(render_html(example.measured(alone=True, gated=True)).encode()) < limit
