import re

from hypothesis import HealthCheck, given, settings

from efcompile.report.document import Report
from efcompile.report.markdown import MAX_KERNELS, render_markdown
from tests.report import example
from tests.report.strange import reports

MINUS = "\N{MINUS SIGN}"


def _table(text: str) -> list[list[str]]:
    """The cells of the first table, its rule left out."""
    lines = [line for line in text.split("\n\n")[2].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def test_the_whole_is_said_in_one_line() -> None:
    line = render_markdown(example.measured()).split("\n\n")[1]
    assert line.startswith("▼ **24.62 ms → 14.69 ms**")
    for part in (f"{MINUS}9.93 ms", "40 % less time", "measured on local, 1 thread", "AMD EPYC"):
        assert part in line


def test_rows_are_the_passes_that_did_something() -> None:
    report = example.measured()
    text = render_markdown(report)
    head, *rows = _table(text)
    assert head[3:6] == ["latency, ms", "difference", "95 % interval"]
    named = [row[0].strip("`") for row in rows]
    idle = re.search(r"^Nothing to do here: (.*)\.$", text, re.MULTILINE)
    assert idle
    left = [name.strip("`") for name in idle[1].split(", ")]
    assert "swap-patch-embed" in left
    assert sorted(named + left) == sorted(row.name for row in report.ledger.rows)
    batchnorm = rows[named.index("fold-batchnorm")]
    assert batchnorm[4:6] == [f"▼ {MINUS}3.63", f"{MINUS}3.96 to {MINUS}3.23"]
    assert rows[named.index("fuse-norm-linear")][4] == "▲ +0.32"


def test_columns_of_the_gate_and_of_leave_one_out_only_where_they_are() -> None:
    assert not {"gate", "leave-one-out"} & set(_table(render_markdown(example.measured()))[0])
    head, *rows = _table(render_markdown(example.measured(alone=True, gated=True)))
    assert {"gate", "leave-one-out"} <= set(head)
    decided = {row[0].strip("`"): row[head.index("gate")] for row in rows}
    assert decided["fuse-norm-linear"] == "**dropped**"
    assert decided["fold-batchnorm"] == "kept"


def test_under_emulation_there_are_instructions() -> None:
    text = render_markdown(example.emulated())
    assert "instructions, M instr" in text
    assert "emulated on qemu" in text
    assert " ms" not in text


def test_kernels_are_cut_to_the_heaviest() -> None:
    report = example.measured()
    text = render_markdown(report)
    assert text.count("| `") >= MAX_KERNELS
    assert f"{len(report.profiles[-1].kernels) - MAX_KERNELS} more take" in text


def test_without_profiles_there_are_no_kernels() -> None:
    assert "Kernels:" not in render_markdown(example.measured(profiles=False))


def test_a_measured_report_is_rendered(measured: Report) -> None:
    text = render_markdown(measured)
    assert all(row.name in text for row in measured.ledger.rows)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(reports())
def test_no_name_breaks_the_markup(report: Report) -> None:
    text = render_markdown(report)
    assert set(re.findall(r"</?([a-z]+)", text)) <= {"details", "summary", "code"}
    assert text.count("<details>") == text.count("</details>")
    assert text.count("<code>") == text.count("</code>")
    assert text.count("`") % 2 == 0
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
    assert not re.search(r"(?<!`)@[a-z]", re.sub(r"`[^`]*`", "", text))
