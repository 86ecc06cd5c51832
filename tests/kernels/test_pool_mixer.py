import pytest
import torch

from efcompile.kernels.pool_mixer import KERNEL
from tests.kernels.harness import check, op_call


@pytest.mark.parametrize(
    ("image", "kernel", "channels"),
    [
        ((9, 11), 3, 37),
        ((75, 91), 3, 24),
        ((9, 14), 3, 256),
        ((4, 5), 5, 20),
        ((2, 1), 7, 3),
        ((6, 6), 1, 8),
    ],
)
def test_matches_reference(image: tuple[int, int], kernel: int, channels: int) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=("scale",),
        plain_operands=("x", "residual", "scale"),
        x=torch.randn(2, *image, channels),
        residual=torch.randn(2, *image, channels),
        scale=torch.randn(channels),
        kernel=kernel,
    )


def test_without_residual_and_with_a_scale_that_is_no_constant() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 7, 12)
    check(KERNEL, x=x, residual=None, scale=None, kernel=3)
    check(KERNEL, x=x, residual=None, scale=torch.randn(12), kernel=3)


def test_refuses_a_broadcast_residual() -> None:
    x = torch.randn(1, 4, 4, 3)
    call = op_call("pool_mixer", x=x, residual=torch.randn(3), scale=None, kernel=3)
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and "broadcast" in reason
