"""Every kernel as arm64 code under the emulator, against its reference op."""

import numpy as np
import pytest
import torch

from efcompile.errors import DeviceError
from efcompile.kernels.emit import Emitter
from efcompile.kernels.registry import KERNELS
from efcompile.tvm_api import build_object
from tests.kernels.cases import CASES, CONSTANTS
from tests.kernels.emulated import ARM64, run_emulated
from tests.kernels.harness import check


def test_every_kernel_has_a_case() -> None:
    assert {kernel for kernel, _ in CASES.values()} == set(KERNELS)


@pytest.mark.parametrize("name", CASES)
def test_matches_reference(name: str) -> None:
    torch.manual_seed(0)
    kernel, arguments = CASES[name]
    args = arguments()
    check(kernel, [c for c in CONSTANTS if c in args], targets=[ARM64], **args)


@pytest.mark.parametrize("where", ["out", "scratch"])
def test_a_write_past_the_end_is_caught(where: str) -> None:
    e = Emitter()
    pointers = {name: e.pointer(name) for name in ("x", "out", "scratch")}
    e.integer("begin"), e.integer("end")
    e.store(pointers[where], 5, e.load(pointers["x"], 0, 1), 1)
    code = build_object([e.finish("kernel_under_test")], ARM64)
    five = np.ones(5, np.float32)
    with pytest.raises(DeviceError, match="wrote past"):
        run_emulated(code, [five], five.copy(), five.nbytes, 1, 1)
