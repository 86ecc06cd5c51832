import pytest
import torch

from efcompile.kernels.affine import KERNEL
from tests.kernels.harness import check, op_call


@pytest.mark.parametrize(("channels", "act"), [(19, "relu"), (150, "gelu")])
@pytest.mark.parametrize("constants", [(), ("scale", "shift")])
def test_matches_reference(channels: int, act: str, constants: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    check(
        KERNEL,
        constants=constants,
        plain_operands=("x", "scale", "shift"),
        x=torch.randn(2, 3, 5, channels),
        scale=torch.randn(channels),
        shift=torch.randn(channels),
        act=act,
    )


def test_refuses_other_dtypes() -> None:
    x = torch.randn(2, 4)
    call = op_call("affine", x=x, scale=torch.randn(4).double(), shift=torch.randn(4))
    reason = KERNEL.shape_of(call)
    assert isinstance(reason, str) and "float64" in reason
