import json
from dataclasses import dataclass

import pytest

from benchmarks import shape_lists
from benchmarks.models import FAMILIES
from benchmarks.prepared import compiled
from efcompile.kernels import gemm, matmul, pool
from efcompile.kernels.broadcast import Axis
from efcompile.models.zoo import title_of
from tests.bundle.programs import tiny_program


@dataclass(frozen=True)
class _Scaled:
    batch: int
    q_view: tuple[int, ...]
    bias: tuple[int, ...] | None
    scale: float


@pytest.mark.parametrize(
    "model",
    [
        model
        if model.startswith("efficientformer")
        else pytest.param(model, marks=pytest.mark.parity)
        for model in FAMILIES
    ],
)
def test_the_committed_list_is_what_the_compiler_makes_today(model: str) -> None:
    program = compiled(model, "arm64").program
    written = shape_lists.read(title_of(model))
    assert written == shape_lists.shape_list(program), (
        f"kernels or shapes have changed: run benchmarks/kernels.py --write-shapes {model}"
    )


def test_every_list_is_a_models() -> None:
    titles = {title_of(model) for model in FAMILIES}
    assert {path.stem for path in shape_lists.FOLDER.glob("*")} == titles


def test_a_list_counts_calls_and_reads_back(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape_lists, "FOLDER", tmp_path)
    entries = shape_lists.shape_list(tiny_program())
    assert entries == [
        {"kernel": "affine", "calls": 2, "shape": None},
        {"kernel": "permute", "calls": 1, "shape": None},
    ]
    path = shape_lists.write("tiny", entries)
    assert path.name == "tiny.json"
    assert shape_lists.read("tiny") == entries
    assert len(path.read_text().splitlines()) == len(json.loads(path.read_text()))


def test_descriptions_leave_out_what_is_usual() -> None:
    shape = gemm.Shape(images=1, m=49, n=448, k=96, bias=True, residual=False, act="none")
    assert shape_lists.describe(shape) == "m=49 n=448 k=96 bias"
    window = pool.Axis(56, 28, 3, 2, 1, 1)
    pooled = pool.Shape("max", 2, window, window, 64, False)
    assert shape_lists.describe(pooled) == (
        "kind=max batch=2 y=56x28x3x2x1x1 x=56x28x3x2x1x1 channels=64"
    )
    products = matmul.Shape((Axis(2, 1, 1), Axis(8, 0, 1)), 49, 32, 49)
    assert shape_lists.describe(products) == "axes=2x1x1,8x0x1 m=49 n=32 k=49"
    assert shape_lists.describe(_Scaled(1, (0, 1, 2), None, 0.125)) == "scale=0.125"
    assert shape_lists.describe(None) == "-"
