import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator, ValidationError

from efcompile.errors import ReportError
from efcompile.report.document import Report
from efcompile.report.schema import (
    SCHEMA_FILE,
    json_schema,
    read_report,
    schema_text,
    write_report,
)
from tests.report import example
from tests.report.strange import reports

REPORTS = [
    example.measured(alone=True, gated=True),
    example.emulated(),
    example.emulated(profiles=False),
]


def _validate(document: object) -> None:
    Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(document)


def test_the_published_schema_is_the_documents() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "run `python -m efcompile.report.schema`"
    )


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("report", REPORTS)
def test_reports_come_back_and_validate(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(report, path)
    assert read_report(path) == report
    _validate(json.loads(path.read_text()))


def test_a_measured_report_validates(measured: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(measured, path)
    assert read_report(path) == measured
    _validate(json.loads(path.read_text()))


@given(reports())
def test_any_report_comes_back_and_validates(report: Report) -> None:
    document = json.loads(report.model_dump_json())
    _validate(document)
    assert Report.model_validate_json(json.dumps(document), strict=True) == report


def _damage(change: Callable[[Any], object], path: Path) -> Path:
    document = json.loads(REPORTS[0].model_dump_json())
    change(document)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("ledger"), "ledger: Field required"),
        (lambda d: d.update(mood="good"), "mood: Extra inputs"),
        (lambda d: d["ledger"]["rows"][3].update(nodes="12"), r"ledger\.rows\.3\.nodes"),
        (lambda d: d["ledger"]["whole"].update(unit="parsecs"), r"ledger\.whole\.unit"),
        (lambda d: d["ledger"]["whole"].update(value=float("nan")), r"ledger\.whole\.value"),
        (lambda d: [row.clear() for row in d["ledger"]["rows"]], "and [0-9]+ more"),
    ],
)
def test_damage_is_named(change: Callable[[Any], object], said: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=f"damaged: .*{said}"):
        read_report(_damage(change, tmp_path / "report.json"))


@pytest.mark.parametrize("version", [2, 0, "1", True, None])
def test_other_versions_are_refused(version: object, tmp_path: Path) -> None:
    path = _damage(lambda d: d.update(schema_version=version), tmp_path / "report.json")
    with pytest.raises(ReportError, match=r"schema version .*reads 1.*make it again"):
        read_report(path)


@pytest.mark.parametrize("text", ["[]", "3", '{"model": "x"}', "null"])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ReportError, match=r"other\.json is no report"):
        read_report(tmp_path / "other.json")


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, ', b"\xff\xfe\x00", b"[" * 10**5])
def test_what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_bytes(content)
    with pytest.raises(ReportError, match=r"cut\.json is damaged.*not JSON"):
        read_report(tmp_path / "cut.json")


def test_an_absent_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cannot read the report .*absent\.json: No such file"):
        read_report(tmp_path / "absent.json")


def test_figures_without_a_provenance_are_refused(tmp_path: Path) -> None:
    path = _damage(lambda d: d.update(provenances={}), tmp_path / "report.json")
    with pytest.raises(ReportError, match=r"ledger\.rows\.0\.cost\.total names .* 'local'"):
        read_report(path)
    with pytest.raises(ReportError, match="not of one piece"):
        write_report(REPORTS[0].model_copy(update={"provenances": {}}), tmp_path / "new.json")
    assert not (tmp_path / "new.json").exists()


def test_the_schema_refuses_what_reading_refuses() -> None:
    document = json.loads(REPORTS[0].model_dump_json())
    for damage in ({"schema_version": 2}, {"mood": "good"}, {"ledger": None}):
        with pytest.raises(ValidationError):
            _validate(document | damage)
