"""Every kernel that computes, as arm64 code under the emulator, against its reference op."""

import pytest
import torch

from tests.kernels.cases import CASES, CONSTANTS
from tests.kernels.emulated import ARM64, require_emulator
from tests.kernels.harness import check


@pytest.mark.parametrize("name", CASES)
def test_matches_reference(name: str) -> None:
    require_emulator()
    torch.manual_seed(0)
    kernel, arguments = CASES[name]
    args = arguments()
    check(kernel, [c for c in CONSTANTS if c in args], targets=[ARM64], **args)
