from pathlib import Path

import pytest

from benchmarks.case import open_case, relative_errors
from benchmarks.peers.ours import bundle_path
from benchmarks.peers.registry import FILE_PEERS, OURS, PEERS

EVERYONE = {OURS.name: OURS, **PEERS}


@pytest.mark.parametrize("name", EVERYONE)
@pytest.mark.parametrize("batch", [1, 3])
def test_contestants_compute_what_eager_does(name: str, batch: int) -> None:
    peer = EVERYONE[name]
    if missing := peer.missing():
        pytest.skip(f"needs {missing}")
    with open_case("tests.small:Small", batch) as case:
        run = peer.start(case, threads=1)
        first = [output.copy() for output in run()]
        assert relative_errors(first, case.expected) < 1e-5
        assert relative_errors(list(run()), case.expected) < 1e-5


def test_files_are_made_once_and_not_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_case("tests.small:Small") as case:
        made: list[Path] = []

        def prepare(_case: object, folder: Path) -> None:
            made.append(folder)
            if len(made) == 1:
                raise RuntimeError("out of luck")

        monkeypatch.setattr(OURS, "prepare", prepare)
        with pytest.raises(RuntimeError, match="out of luck"):
            OURS.prepared(case)
        assert OURS.prepared(case) == OURS.prepared(case) == case.folder / "ours"
        assert len(made) == 2


def test_ours_is_a_bundle() -> None:
    with open_case("tests.small:Small") as case:
        assert (bundle_path(OURS.prepared(case)) / "manifest.json").exists()
    assert FILE_PEERS["ours"] is OURS and "eager" not in FILE_PEERS
