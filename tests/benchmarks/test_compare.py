import json
from pathlib import Path

import pytest
import typer

from benchmarks.compare import main

SMALL = "tests.small:Small"


def test_it_prints_and_writes_every_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    main([SMALL], "eager,ort", [1, 2], rounds=5, seconds=0, limit=None, json_file=file)
    document = json.loads(file.read_text())
    assert [f["threads"] for f in document["figures"]] == [1, 2]
    for figure in document["figures"]:
        assert set(figure["ms"]) == {"ours", "eager", "ort"} == set(figure["quartiles"])
        assert figure["best"] in figure["ratios"]
        assert figure["rounds"] == 5 and figure["refused"] == {}
        lower, upper = figure["quartiles"]["ours"]
        assert 0 < lower <= figure["ms"]["ours"] <= upper
    assert document["peaks"]["copy_gbs"] > 0 and document["peaks"]["fma_gflops"] > 0
    printed = capsys.readouterr().out
    assert "1 thread(s)" in printed and "2 thread(s)" in printed and SMALL in printed


def test_a_ratio_above_the_limit_fails() -> None:
    with pytest.raises(typer.Exit):
        main([SMALL], "eager", None, rounds=5, seconds=0, limit=0.0, json_file=None)
