"""Where example inputs come from, and what is refused."""

import pytest
import torch
from torch import nn

from efcompile.capture.examples import resolve_inputs
from efcompile.errors import CaptureError, InputError
from tests.small import Small


def test_given_inputs_are_taken_as_they_are() -> None:
    x = torch.randn(2, 3, 5, 7)
    (one,) = resolve_inputs(Small(), x)
    assert torch.equal(one, x)
    assert len(resolve_inputs(Small(), [x, x])) == 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_only_float32_is_taken(dtype: torch.dtype) -> None:
    with pytest.raises(
        InputError, match=f"{str(dtype).removeprefix('torch.')}: inputs are float32"
    ):
        resolve_inputs(Small(), torch.ones(1, 3, 5, 7, dtype=dtype))


def test_inputs_become_plain_contiguous_tensors() -> None:
    x = torch.randn(2, 5, 7, 3, requires_grad=True).permute(0, 3, 1, 2)
    (one,) = resolve_inputs(Small(), x)
    assert one.is_contiguous() and not one.requires_grad and torch.equal(one, x)


def test_the_models_own_size_is_used() -> None:
    (one,) = resolve_inputs(Small(), None)
    assert one.shape == (1, 3, 17, 17)
    assert torch.equal(one, resolve_inputs(Small(), None)[0]), "the same each time"

    class Configured(nn.Module):
        pretrained_cfg = {"input_size": (3, 9, 8)}  # noqa: RUF012

    assert resolve_inputs(Configured(), None)[0].shape == (1, 3, 9, 8)


def test_a_model_that_states_no_size_needs_inputs() -> None:
    with pytest.raises(CaptureError, match="Linear does not say what input it takes"):
        resolve_inputs(nn.Linear(2, 2), None)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "input 0 has dtype uint8"),
        ([torch.zeros(1), torch.zeros(1, dtype=torch.int64)], "input 1 has dtype int64"),
        ([torch.zeros(1), "image"], "input 1 is a str"),
        ((), "empty"),
        (torch.zeros(0, 3, 4, 4), "no elements"),
    ],
)
def test_inputs_of_the_wrong_kind_are_refused(given: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        resolve_inputs(Small(), given)  # type: ignore[arg-type]
