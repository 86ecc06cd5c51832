"""Equal captures have equal fingerprints; whatever differs, so do they."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from efcompile.capture import capture
from efcompile.capture.fingerprint import fingerprint, tensor_bytes


class Net(nn.Module):
    """Every kind of thing a model can hide: parameters, buffers, numbers, modes, constants."""

    offset: Tensor
    hidden: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("offset", torch.zeros(4, 1, 1))
        self.register_buffer("hidden", torch.ones(()), persistent=False)
        self.table = torch.ones(2)
        self.slope = 0.1
        self.flat = False
        self.act: Callable[[Tensor], Tensor] = torch.relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x)) + self.offset * self.hidden
        y = self.act(nn.functional.leaky_relu(y, self.slope)) * self.table[0]
        return y.flatten(1) if self.flat else y


def _net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


X = torch.linspace(-1, 1, 1 * 3 * 6 * 6).reshape(1, 3, 6, 6)


def _fingerprint(model: nn.Module, x: Tensor = X) -> bytes:
    return fingerprint(capture(model, x))


def test_a_copy_and_a_second_capture_are_the_same() -> None:
    model = _net()
    assert _fingerprint(model) == _fingerprint(model) == _fingerprint(_net())


def _weight(model: Net) -> None:
    # The last bit of one number: 1.0 is not 1.0 + 2 ** -23.
    with torch.no_grad():
        model.conv.weight.view(-1)[-1:].view(torch.int32).bitwise_xor_(1)


def _statistics(model: Net) -> None:
    model.norm.running_mean.add_(1)  # type: ignore[union-attr]


def _sign_of_zero(model: Net) -> None:
    model.offset[2] = -0.0


CHANGES: dict[str, Callable[[Net], object]] = {
    "a bit of a weight in place": _weight,
    "a batch norm's statistics": _statistics,
    "the sign of a zero": _sign_of_zero,
    "a buffer that is not saved": lambda model: model.hidden.mul_(2),
    "a tensor that is only an attribute": lambda model: model.table.mul_(2),
    "a number": lambda model: setattr(model, "slope", 0.1000000001),
    "a branch": lambda model: setattr(model, "flat", True),
    "a function": lambda model: setattr(model, "act", torch.sigmoid),
    "a submodule's option": lambda model: setattr(model.norm, "eps", 1e-4),
    "a submodule": lambda model: setattr(model, "norm", nn.Identity()),
    "the mode": lambda model: model.train(),
    "the forward itself": lambda model: setattr(model, "forward", lambda x: model.conv(x)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_in_the_model_shows(change: str) -> None:
    model = _net()
    before = _fingerprint(model)
    CHANGES[change](model)
    assert _fingerprint(model) != before


@pytest.mark.parametrize("x", [X * 2, X[..., :5], X.expand(2, -1, -1, -1)])
def test_other_inputs_show(x: Tensor) -> None:
    assert _fingerprint(_net(), x) != _fingerprint(_net())


def test_the_structure_of_the_outputs_shows() -> None:
    class Wrapped(nn.Module):
        def __init__(self, key: str) -> None:
            super().__init__()
            self.key, self.net = key, _net()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {self.key: self.net(x)}

    assert _fingerprint(Wrapped("a")) != _fingerprint(Wrapped("b"))


def test_bytes_are_the_elements_in_order_whatever_the_strides() -> None:
    x = torch.arange(6, dtype=torch.int16).reshape(2, 3)
    assert bytes(tensor_bytes(x.T.contiguous().T)) == bytes(tensor_bytes(x))
    assert len(tensor_bytes(x)) == 12
    assert bytes(tensor_bytes(torch.tensor(True))) == b"\1"
    assert bytes(tensor_bytes(torch.empty(0, 3))) == b""
