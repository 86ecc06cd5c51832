import json
from pathlib import Path

import pytest

from benchmarks.case import open_case
from benchmarks.memory import main, measure
from benchmarks.peers.registry import FILE_PEERS, OURS

SMALL = "tests.small:Small"


def test_usage_of_ours_and_a_peer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    main([SMALL], "eager,ort", 1, file)
    (figure,) = json.loads(file.read_text())["figures"]
    assert set(figure["usage"]) == {"ours", "ort"}  # eager has no files to load
    assert figure["best"] == "ort" and figure["refused"] == {}
    for usage in figure["usage"].values():
        assert 0 < usage["growth"] < usage["runtime"] < usage["total"]
    assert not figure["usage"]["ort"]["torch"]
    assert "resident MB" in capsys.readouterr().out


def test_a_child_that_fails_says_why() -> None:
    with open_case(SMALL) as case:
        (OURS.prepared(case) / "path").write_text("nothing")
        with pytest.raises(RuntimeError, match=r"exit status 1: .*cannot read"):
            measure(case, FILE_PEERS["ours"], 1)


def test_wrong_outputs_are_no_result() -> None:
    with open_case(SMALL) as case:
        OURS.prepared(case)
        case.expected[0] += 1
        with pytest.raises(RuntimeError, match="wrong result: differs from eager"):
            measure(case, OURS, 1)
