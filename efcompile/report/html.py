"""A report as one HTML page that needs nothing else: no network, no fonts, no libraries."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2

from efcompile.report.digest import (
    ARROWS,
    final_profile,
    ledger_scale,
    main_provenance,
    quantity,
    refusals,
    shapes,
    whole,
)
from efcompile.report.document import Report
from efcompile.report.page.arena import largest, plans
from efcompile.report.page.breakdown import by_instruction_class, by_survey_class
from efcompile.report.page.tables import kernel_lines, pass_lines, scale_of
from efcompile.report.page.waterfall import waterfall
from efcompile.report.units import error, exact, human, percent, where

TEMPLATES = Path(__file__).parent / "templates"

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_html(report: Report) -> str:
    """`report` as a page: charts as inline SVG, one small script that sorts tables and switches
    between light and dark.  The page forbids itself every request and every other script, and
    names from the model are text in it whatever they hold."""
    style, script = (_asset(name) for name in ("report.css", "report.js"))
    return _ENVIRONMENT.get_template("report.html.j2").render(
        _context(report),
        style=style,
        script=script,
        style_hash=_content_hash(style),
        script_hash=_content_hash(script),
    )


def _context(report: Report) -> dict[str, Any]:
    profile = final_profile(report)
    ledger = report.ledger
    return {
        "report": report,
        "main": main_provenance(report),
        "quantity": quantity(report),
        "scale": ledger_scale(report),
        "shapes": shapes(report),
        "whole": whole(report),
        "whole_title": exact(ledger.whole, main_provenance(report)),
        "waterfall": waterfall(report),
        "survey": by_survey_class(report),
        "instructions": by_instruction_class(report),
        "profile": profile,
        "kernel_scale": scale_of(profile) if profile else None,
        "kernels": kernel_lines(report, profile) if profile else (),
        "plans": plans(report),
        "largest": largest(report),
        "passes": pass_lines(report),
        "alone": any(row.leave_one_out or row.required for row in ledger.rows),
        "gated": any(row.kept is not None for row in ledger.rows),
        "refusals": [(row, refusals(row)) for row in ledger.rows],
        "refused": sum(len(row.refused) for row in ledger.rows),
        "worst": max((row.relative_error for row in ledger.rows), default=0.0),
        "arrows": ARROWS,
        "human": human,
        "exact": exact,
        "percent": percent,
        "error": error,
        "where": where,
    }


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _content_hash(text: str) -> str:
    """As the page's content security policy names what it lets run."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
