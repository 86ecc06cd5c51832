from pathlib import Path

import pytest
from torch import nn

from benchmarks.prepared import load, prepare
from efcompile.kernels.work import Work


def small() -> nn.Module:
    """Two convolutions and a head, on an image of the size it states."""
    layers = [
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ]
    model = nn.Sequential(*layers)
    model.default_input_size = (3, 20, 20)  # type: ignore[assignment]
    return model


SMALL = "tests.benchmarks.test_prepared:small"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("prepared")
    prepare(SMALL, where)
    return where


def test_calls_say_what_they_compute_and_move(folder: Path) -> None:
    (found,) = load(folder)
    assert found.model == SMALL
    assert [call.kernel for call in found.calls] == ["conv_direct", "gemm", "pool_linear"]
    conv, gemm, head = found.calls
    assert gemm.work == Work(matmul=100 * 8 * 8)
    assert gemm.flops == 2 * 100 * 8 * 8
    # The constants of pairs are one more.
    assert gemm.weight_bytes in (4 * (8 * 8 + 8), 4 * (8 * 8 + 8 + 1))
    assert gemm.activation_bytes == 4 * 100 * (8 + 8)
    assert conv.activation_bytes == 4 * (3 * 400 + 8 * 100)
    assert head.activation_bytes == 4 * (100 * 8 + 5)
    assert conv.sources
    assert found.resident_bytes >= sum(call.weight_bytes for call in found.calls)
    assert found.bundle.manifest.model == "small"


def test_what_is_loaded_is_what_was_prepared(tmp_path: Path) -> None:
    made = prepare(SMALL, tmp_path)
    assert load(tmp_path) == [made]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no prepared model"):
        load(tmp_path)
