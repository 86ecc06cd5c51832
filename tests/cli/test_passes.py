"""`efcompile passes`: the list, and the account of a model."""

import json
import re

import pytest

from efcompile.passes.pipeline import PIPELINE
from tests.cli.command import SMALL, efcompile, refused


def test_every_pass_is_listed_with_exactness_and_a_line() -> None:
    listed = json.loads(efcompile("passes", "--json").out)
    by_name = {entry["name"]: entry for entry in listed}
    assert {step.name for step in PIPELINE} <= set(by_name)
    assert all(entry["exactness"] in ("exact", "approximate") for entry in listed)
    assert all(entry["summary"] and "\n" not in entry["summary"] for entry in listed)
    assert "fold-batchnorm" in efcompile("passes").out


def test_explain_shows_what_was_done_and_what_is_left() -> None:
    said = efcompile("passes", "--explain", SMALL)
    assert said.code == 0, said.err
    assert "fold-batchnorm: 1 rewritten" in said.out
    assert "leftovers: none" in said.out
    row = next(line for line in said.out.splitlines() if "batch norms" in line)
    assert re.findall(r"\d+", row) == ["1", "0"]


def test_explain_gives_reasons_for_refusals() -> None:
    document = json.loads(efcompile("passes", "--explain", "tests.small:unfoldable", "--json").out)
    fold = next(entry for entry in document["passes"] if entry["pass"] == "fold-batchnorm")
    (refusal,) = fold["refused"]
    assert refusal["source"] == "norm" and refusal["reason"]
    assert document["captured"]["batch_norms"] == document["finished"]["batch_norms"] == 1
    said = efcompile("passes", "--explain", "tests.small:unfoldable")
    assert f"in norm): {refusal['reason']}" in said.out


def test_explain_takes_other_passes() -> None:
    said = efcompile("passes", "--explain", SMALL, "--passes", "legalise", "--json")
    document = json.loads(said.out)
    assert [entry["pass"] for entry in document["passes"]] == ["legalise"]
    assert document["finished"]["batch_norms"] == 1


def test_options_of_explain_need_it() -> None:
    said = efcompile("passes", "--resolution", 32)
    assert said.code == 2
    assert "--explain" in said.err


@pytest.mark.parametrize("option", ["--passes", "--disable-pass"])
def test_unknown_passes_suggest_the_nearest(option: str) -> None:
    line = refused("passes", "--explain", SMALL, option, "fold-batchnrm")
    assert "fold-batchnorm" in line
