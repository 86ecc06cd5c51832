import torch

from efcompile.kernels import registry
from efcompile.kernels.kernel import OpCall
from efcompile.ops import OPS
from tests.kernels.harness import op_call


def test_every_dialect_op_has_a_kernel() -> None:
    assert {kernel.op for kernel in registry.KERNELS} == set(OPS)


def test_the_first_kernel_that_does_not_refuse_is_taken() -> None:
    weight, settings = torch.randn(8, 3, 3, 1), ([1, 1], [1, 1], [1, 1], 8)
    stride, padding, dilation, groups = settings
    call = op_call(
        "conv2d",
        ["weight"],
        x=torch.randn(1, 5, 5, 8),
        weight=weight,
        bias=None,
        residual=None,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    found = registry.find(call)
    assert not isinstance(found, str) and found[0].name == "depthwise"


def test_reasons_are_kept_when_none_does() -> None:
    call = op_call("linear", x=torch.randn(2, 3), weight=torch.randn(4, 3))
    found = registry.find(call)
    assert isinstance(found, str) and "gemm: " in found and "weight" in found
    unknown = OpCall("conjure", {}, call.out)
    assert registry.find(unknown) == "no kernel implements conjure"
