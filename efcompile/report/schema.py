"""Reports as JSON files, and the JSON schema that is published for them.

``python -m efcompile.report.schema`` rewrites ``schema.json`` after a change of the document.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from efcompile.errors import ReportError
from efcompile.report.document import SCHEMA, Figure, Report
from efcompile.report.files import write_text

SCHEMA_FILE = Path(__file__).parent / "schema.json"
"""The published schema, JSON Schema 2020-12, of version `SCHEMA`."""


def json_schema() -> dict[str, Any]:
    """The JSON schema of `Report`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:efcompile:report:{SCHEMA}",
        **Report.model_json_schema(),
    }


def schema_text() -> str:
    """What `SCHEMA_FILE` holds."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def write_report(report: Report, path: Path) -> None:
    """Write `report` to `path` as JSON, in one step: see `efcompile.report.files.write_text`.

    Raises `ReportError` if the file cannot be written, or if a figure of the report has a
    provenance that the report lacks.
    """
    _check_provenances(report, f"the report of {report.model}")
    write_text(report.model_dump_json(indent=2) + "\n", path)


def read_report(path: Path) -> Report:
    """The report in the JSON file `path`.

    Raises `ReportError` saying what is wrong with it: unreadable, not JSON, no report, of
    another schema version, or the first fields that do not fit.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ReportError(f"cannot read the report {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"{path} is damaged or no report: it is not JSON ({error}); make it again with "
            "`efcompile report ... --json`"
        ) from error
    _check_version(document, path)
    try:
        # Strictly: a number in quotes, or a fraction of a node, was not written by us.
        report = Report.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise ReportError(f"{path} is damaged: {_first_faults(error)}") from error
    _check_provenances(report, str(path))
    return report


def _check_version(document: object, path: Path) -> None:
    if not isinstance(document, dict) or "schema_version" not in document:
        raise ReportError(
            f"{path} is no report of efcompile: it has no schema_version; "
            "`efcompile report ... --json` writes one"
        )
    version = document["schema_version"]
    if version != SCHEMA or isinstance(version, bool):
        raise ReportError(
            f"{path} has schema version {version!r}, and this efcompile reads {SCHEMA}: "
            "read it with the efcompile that wrote it, or make it again"
        )


def _first_faults(error: ValidationError, count: int = 3) -> str:
    faults = error.errors(include_url=False, include_context=False)
    told = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'the document'}: {fault['msg']}"
        for fault in faults[:count]
    ]
    more = len(faults) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _check_provenances(report: Report, what: str) -> None:
    for place, figure in _figures(report, ""):
        if figure.provenance not in report.provenances:
            raise ReportError(
                f"{what} is not of one piece: {place} names the provenance "
                f"{figure.provenance!r}, and there is none of that name"
            )


def _figures(value: object, place: str) -> Iterator[tuple[str, Figure]]:
    """All figures below `value`, each with its place in the document."""
    if isinstance(value, Figure):
        yield place, value
    elif isinstance(value, BaseModel):
        for name, inner in value:
            yield from _figures(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _figures(inner, f"{place}.{key}")
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _figures(inner, f"{place}.{index}")


if __name__ == "__main__":
    write_text(schema_text(), SCHEMA_FILE)
