"""The HTML report in a real browser."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from efcompile.report.document import Report
from efcompile.report.html import render_html
from tests.report import example

if importlib.util.find_spec("selenium") is None:
    pytest.skip("pip install selenium", allow_module_level=True)

from tests.report.browser import MISSING, Browser, browser

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

SECTIONS = ["waterfall", "classes", "kernels", "memory", "passes", "refusals", "provenance"]
REPORTS = {
    "measured": example.measured(alone=True, gated=True),
    "emulated": example.emulated(),
    "no profiles": example.emulated(profiles=False),
}

# Contrast as WCAG 2 defines it, of every piece of text with what is painted behind it.
CONTRASTS = """
const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = (colour) => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
};
const light = (colour) => {
  const [r, g, b] = rgba(colour).slice(0, 3).map((c) =>
    (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (rgba(colour)[3] === 255) return colour;
  }
  return 'white';
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
  if (['SCRIPT', 'STYLE', 'title'].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const one = light(element instanceof SVGElement ? style.fill : style.color);
  const other = light(behind(element));
  const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  found.push([walker.currentNode.textContent.trim(), ratio]);
}
return found;
"""
OVERHANG = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHOWN = "return document.querySelectorAll('#kernel-table tbody tr:not([hidden])').length"
DARK = "return getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {name: _write(report, folder / f"{name}.html") for name, report in REPORTS.items()}


def _write(report: Report, path: Path) -> Path:
    path.write_text(render_html(report), encoding="utf-8")
    return path


def _press(chromium: Browser, heading: str) -> None:
    chromium.run(
        "[...document.querySelectorAll('#kernel-table thead button')]"
        f".find(b => b.textContent === {heading!r}).click()"
    )


def _column(chromium: Browser, heading: str) -> list[float]:
    found: list[float] = chromium.run(
        "const table = document.getElementById('kernel-table');"
        "const at = [...table.tHead.rows[0].cells]"
        f".findIndex(c => c.textContent.trim() === {heading!r});"
        "return [...table.tBodies[0].rows].map(r => Number(r.cells[at].dataset.key))"
    )
    return found


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_quiet_complete_and_no_wider_than_the_window(
    name: str, width: int, pages: dict[str, Path], chromium: Browser
) -> None:
    chromium.complaints(), chromium.requests()
    chromium.show(pages[name], width=width)
    chromium.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert chromium.complaints() == []
    asked = {url for url in chromium.requests() if not url.startswith("data:")}
    assert asked == {pages[name].as_uri()}
    assert chromium.run("return [...document.querySelectorAll('section')].map(s => s.id)") == (
        SECTIONS
    )
    assert chromium.run("return innerWidth") == width
    assert chromium.run(OVERHANG) <= 0
    assert chromium.run("return document.querySelectorAll('.steps li').length") > 10
    inner = "return document.querySelector('.steps .better .body').getBoundingClientRect().width"
    assert chromium.run(inner) > 0


def test_the_probe_sees_requests_and_complaints(tmp_path: Path, chromium: Browser) -> None:
    page = tmp_path / "loud.html"
    page.write_text(
        "<script src='http://127.0.0.1:9/no.js'></script><script>throw Error('up')</script>"
    )
    chromium.show(page)
    assert "http://127.0.0.1:9/no.js" in chromium.requests()
    assert any("up" in line for line in chromium.complaints())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_text_stands_out(name: str, scheme: str, pages: dict[str, Path], chromium: Browser) -> None:
    chromium.show(pages[name], scheme=scheme)
    chromium.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    contrasts = chromium.run(CONTRASTS)
    assert len(contrasts) > 200
    assert [entry for entry in contrasts if entry[1] < 4.5] == []


def test_the_button_switches_light_and_dark_and_is_remembered(
    pages: dict[str, Path], chromium: Browser
) -> None:
    chromium.show(pages["measured"], scheme="light")
    light = chromium.run(DARK)
    chromium.run("document.getElementById('theme').click()")
    dark = chromium.run(DARK)
    assert light == "rgb(255, 255, 255)" != dark
    chromium.reload()
    assert chromium.run(DARK) == dark
    chromium.run("document.getElementById('theme').click()")
    assert chromium.run(DARK) == light


@pytest.mark.parametrize("heading", ["ms", "share", "GFLOP/s", "roofline", "call"])
def test_kernels_sort_by_number(heading: str, pages: dict[str, Path], chromium: Browser) -> None:
    chromium.show(pages["measured"])
    before = _column(chromium, "call")
    keys = _column(chromium, "ms")
    assert keys == sorted(keys, reverse=True), "heaviest first, to begin with"
    _press(chromium, heading)
    keys = _column(chromium, heading)
    falling = heading != "ms"  # which falls already
    assert keys == sorted(keys, reverse=falling)
    _press(chromium, heading)
    keys = _column(chromium, heading)
    assert keys == sorted(keys, reverse=not falling)
    assert sorted(_column(chromium, "call")) == sorted(before)
    sorts = "return [...document.querySelectorAll('#kernel-table th[aria-sort]')]"
    stated = chromium.run(f"{sorts}.map(h => h.ariaSort).filter(s => s !== 'none')")
    assert stated == ["ascending" if falling else "descending"]


def test_kernels_sort_by_name(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.show(pages["measured"])
    _press(chromium, "kernel")
    names = [
        name.split("\n")[0].strip()
        for name in chromium.run(
            "return [...document.querySelectorAll('#kernel-table tbody tr')]"
            ".map(r => r.cells[1].textContent.trim())"
        )
    ]
    assert names == sorted(names)


def test_the_first_kernels_are_shown_and_then_all(
    pages: dict[str, Path], chromium: Browser
) -> None:
    chromium.show(pages["measured"])
    everything = len(_column(chromium, "call"))
    assert chromium.run(SHOWN) == 15 < everything
    _press(chromium, "roofline")
    assert chromium.run(SHOWN) == 15
    chromium.run("document.querySelector('button.more').click()")
    assert chromium.run(SHOWN) == everything


def test_every_picture_has_a_name_and_every_table_headings(
    pages: dict[str, Path], chromium: Browser
) -> None:
    chromium.show(pages["measured"])
    nameless = (
        "return [...document.querySelectorAll('svg')].filter(s =>"
        " !s.closest('[aria-hidden=true]') && !s.getAttribute('aria-label')).length"
    )
    assert chromium.run(nameless) == 0
    bare = (
        "return [...document.querySelectorAll('table')]"
        ".filter(t => !t.querySelector('th[scope]')).length"
    )
    assert chromium.run(bare) == 0


def test_names_from_the_model_are_text(tmp_path: Path, chromium: Browser) -> None:
    evil = "<img src=http://127.0.0.1:9/x onerror=alert(1)><script>document.title='hit'</script>"
    made = example.Factory().report(model=evil)
    kernel = (
        made.profiles[-1].kernels[0].model_copy(update={"kernel": evil, "sources": (f"'\"{evil}",)})
    )
    profile = made.profiles[-1].model_copy(update={"kernels": (kernel,)})
    page = _write(made.model_copy(update={"profiles": (profile,)}), tmp_path / "evil.html")
    chromium.complaints(), chromium.requests()
    chromium.show(page)
    assert chromium.run("return document.querySelector('h1').textContent") == evil
    assert chromium.run("return document.title").startswith("<img")
    assert chromium.run("return document.images.length") == 0
    assert all("127.0.0.1" not in url for url in chromium.requests())
    assert chromium.complaints() == []
    assert chromium.run(OVERHANG) <= 0
