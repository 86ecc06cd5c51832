"""How divergences read: marks, missing counterparts, long paths."""

from rich.console import Console

from efcompile.cli.divergence_table import culprits, divergence_tables
from efcompile.report.bisect import Bisection, Culprit
from efcompile.report.divergence import Deviation, Divergence, NodeRow, StageRow

FINE = Deviation(max_abs=1e-7, relative=2e-7, snr_db=133.4, cosine=1.0)
WRONG = Deviation(max_abs=0.5, relative=0.25, snr_db=12.0, cosine=0.97)
CULPRIT = Culprit(
    where="kernel",
    stage="fuse-mlp",
    error=0.2,
    node="mlp_default",
    op="efcompile.mlp.default",
    sources=("a.fc1", "a.fc2"),
    node_error=0.25,
    reads=(),
)


def _node(name: str, counterpart: str | None, found: Deviation | None) -> NodeRow:
    return NodeRow(
        name=name,
        op="efcompile.conv2d.default",
        sources=(f"{'long.' * 12}path.{name}",),
        shape=(1, 7, 7, 8),
        counterpart=counterpart,
        dims=(0, 2, 3, 1) if counterpart else None,
        graph=found,
        compiled=found,
        kernel=FINE,
    )


def _divergence(device: str | None = "local", bisection: Bisection | None = None) -> Divergence:
    return Divergence(
        schema_version=1,
        model="m",
        target="host",
        device=device,
        tolerance=1e-4,
        stages=(
            StageRow(name="captured", graph=FINE, compiled=FINE),
            StageRow(name="fold", graph=WRONG, compiled=WRONG),
        ),
        nodes=(_node("one", "gelu", FINE), _node("two", None, None), _node("three", "add", WRONG)),
        gone=("conv2d", "batch_norm"),
        bisection=bisection,
    )


def _text(found: Divergence) -> str:
    console = Console(width=200, file=None, record=True, quiet=False)
    with console.capture() as captured:
        console.print(divergence_tables(found))
    return captured.get()


def test_what_is_past_the_tolerance_is_marked() -> None:
    lines = _text(_divergence()).splitlines()
    marked = [line.split()[0] for line in lines if line.rstrip().endswith("past")]
    assert marked == ["fold", "three"]


def test_nodes_without_a_counterpart_are_named() -> None:
    text = _text(_divergence())
    assert "2 of 3 nodes compute a value of the original's; without a counterpart: two" in text
    assert "2 values of the original are computed nowhere any more" in text
    (line,) = [line for line in text.splitlines() if line.lstrip().startswith("two ")]
    assert "none" in line and "2.0e-07" in line, "its kernel is compared all the same"


def test_of_long_paths_the_end_is_shown() -> None:
    text = _text(_divergence())
    assert "long.path.three" in text and "long." * 12 not in text


def test_without_a_device_its_columns_are_not_there() -> None:
    text = _text(_divergence(device=None))
    assert "kernel " not in text.replace("kernel: compiled", "") and "not compiled" in text


def test_culprits() -> None:
    graph = CULPRIT.model_copy(update={"where": "graph", "reads": ("w_1",)})
    found = Bisection(graph=graph, compiled=CULPRIT, graph_runs=4, compiled_runs=5)
    one, two = culprits(_divergence(bisection=found))
    assert one == (
        "bisect in eager PyTorch: pass fuse-mlp is the first past 1e-04 (its outputs by 2.0e-01); "
        "node mlp_default (efcompile.mlp) from a.fc1, a.fc2, which reads w_1 differs by 2.5e-01 "
        "[4 stages run]"
    )
    assert "the graph is right, a kernel is wrong; first after fuse-mlp" in two
    assert culprits(_divergence()) == []
    assert len(culprits(_divergence(device=None, bisection=found))) == 1
