from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.arm64_count import (
    PEERS,
    count_ours,
    count_peer,
    emulated_cpu,
    steady,
    with_tanh_gelu,
)
from benchmarks.arm64_python import arm64_python
from benchmarks.case import Case, open_case
from efcompile.devices.arm64_python import Arm64Python
from efcompile.devices.emulator import PLAIN_CPU, InstructionCounts
from efcompile.errors import DeviceError
from efcompile.models.randomize import randomize
from tests.devices.arm64 import needs_arm64

COUNTS = InstructionCounts(fmla=10000, simd=1000, load=2000, store=500, branch=100, other=400)


def test_everyone_runs_on_the_cpu_our_target_describes() -> None:
    assert emulated_cpu() == PLAIN_CPU


@needs_arm64
def test_ours_is_right_and_counts_its_multiply_adds() -> None:
    with open_case("tests.small:Small") as case:
        row = count_ours(case)
    assert row.name == "ours" and row.right and row.error > 0
    # 3x3 over 3 channels and 1x1 over 12, for 12 channels of 9x9, four lanes an instruction.
    multiply_adds = 81 * 12 * (27 + 12) // 4
    assert multiply_adds / 2 < row.counts.fmla < 3 * multiply_adds
    assert row.counts.fmla < row.counts.total < 30 * multiply_adds


def test_the_figure_is_the_third_call() -> None:
    start = replace(COUNTS, other=10**9)
    one, two, three = (_plus(start, calls) for calls in (1, 2, 3))
    assert steady(one, two, three, "it") == COUNTS


def test_a_cost_that_varies_is_refused() -> None:
    one, two, three = (_plus(COUNTS, calls) for calls in (1, 2, 3))
    noisy = replace(three, branch=three.branch + 100_000)
    assert steady(one, two, noisy, "m: ncnn").branch == COUNTS.branch + 100_000
    noisy = replace(three, branch=three.branch + 300_000)
    with pytest.raises(DeviceError, match=r"m: ncnn took 14000 .* and 314000 for its third"):
        steady(one, two, noisy, "m: ncnn")


def test_a_large_cost_may_vary_by_a_hundredth() -> None:
    one, two = (replace(COUNTS, fmla=count) for count in (0, 400_000_000))
    assert steady(one, two, replace(COUNTS, fmla=803_000_000), "it").fmla == 403_000_000
    with pytest.raises(DeviceError, match="not steady"):
        steady(one, two, replace(COUNTS, fmla=805_000_000), "it")


def _plus(start: InstructionCounts, calls: int) -> InstructionCounts:
    total = start
    for _ in range(calls):
        total = InstructionCounts(
            *(a + b for a, b in zip(_values(total), _values(COUNTS), strict=True))
        )
    return total


def _values(counts: InstructionCounts) -> list[int]:
    return [getattr(counts, name) for name in InstructionCounts.__dataclass_fields__]


def test_the_approximating_copy_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    copied = with_tanh_gelu(model)
    assert isinstance(copied, nn.Sequential)
    x = torch.linspace(-3, 3, 40).reshape(10, 4)
    torch.testing.assert_close(copied(x), nn.functional.gelu(model[0](x), approximate="tanh"))
    torch.testing.assert_close(model(x), nn.functional.gelu(model[0](x)))
    assert with_tanh_gelu(nn.Sequential(nn.ReLU())) is None


@pytest.mark.parity  # downloads the arm64 Python on first use
@needs_arm64
@pytest.mark.parametrize("name", PEERS)
def test_peers_are_right_and_count_their_multiply_adds(name: str, tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 32, 1), nn.GELU(), nn.Conv2d(32, 32, 1), nn.Flatten()]
    model = randomize(nn.Sequential(*layers).eval(), seed=0)
    case = Case("tiny", model, torch.randn(1, 3, 16, 16), tmp_path)
    row = count_peer(case, name, arm64_python())
    assert row is not None and row.name == name and row.right
    multiply_adds = 256 * 32 * (3 + 32) // 4
    assert multiply_adds / 2 < row.counts.fmla < 3 * multiply_adds


def test_without_a_gelu_there_is_nothing_to_approximate(tmp_path: Path) -> None:
    case = Case("plain", nn.Sequential(nn.ReLU()), torch.randn(1, 3, 4, 4), tmp_path)
    # No emulator runs for it, so the environment need not exist.
    assert count_peer(case, "mnn-tanh", Arm64Python(tmp_path)) is None
