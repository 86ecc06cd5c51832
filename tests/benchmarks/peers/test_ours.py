from benchmarks.case import open_case, relative_errors
from benchmarks.peers.ours import Ours, bundle_path
from tests.benchmarks.peers.contest import BATCH_AND_THREADS, SMALL, assert_right


@BATCH_AND_THREADS
def test_it_computes_what_eager_does(batch: int, threads: int) -> None:
    assert_right(Ours(), batch, threads)


def test_its_files_are_a_bundle() -> None:
    with open_case(SMALL) as case:
        assert (bundle_path(Ours().prepared(case)) / "manifest.json").exists()


def test_nested_outputs_are_flat() -> None:
    with open_case("tests.small:Named") as case:
        outputs = list(Ours().start(case, 1)())
        assert len(outputs) == 2
        assert relative_errors(outputs, case.expected) < 1e-5
