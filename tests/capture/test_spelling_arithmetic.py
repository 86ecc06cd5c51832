"""Arithmetic: tensors with tensors, or one multiplication or addition of a number."""

import pytest
import torch

from tests.capture.spellings import Function, random, spelled

ADD, SUB, MUL, DIV = "add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor"
MATMUL, RESHAPE, PERMUTE = "matmul.default", "reshape.default", "permute.default"

CASES: dict[str, tuple[Function, list[str]]] = {
    "add": (lambda x, y: x + y, [ADD]),
    "number": (lambda x, y: 2 + x, [ADD]),
    "minus_number": (lambda x, y: x - 2, [ADD]),
    "sub": (lambda x, y: x - y, [SUB]),
    "sub_alpha": (lambda x, y: torch.sub(x, y, alpha=2), [MUL, SUB]),
    "add_alpha": (lambda x, y: torch.add(x, y, alpha=2), [MUL, ADD]),
    "rsub": (lambda x, y: 1 - x, [MUL, ADD]),
    "rsub_tensor": (lambda x, y: torch.rsub(x, y), [SUB]),
    "mul": (lambda x, y: x * y, [MUL]),
    "mul_number": (lambda x, y: 3 * x, [MUL]),
    "div_number": (lambda x, y: x / 3, [MUL]),
    "div": (lambda x, y: x / (y.exp() + 1), ["exp.default", ADD, DIV]),
    "div_zero": (lambda x, y: x / 0, [DIV]),
    "neg": (lambda x, y: -x, [MUL]),
    "square": (lambda x, y: x.square() + x**2, [MUL, MUL, ADD]),
    "cube": (lambda x, y: x**3, ["pow.Tensor_Scalar"]),
    "constant": (lambda x, y: x * torch.tensor(0.5), [MUL]),
    "swish": (lambda x, y: x * torch.sigmoid(x), ["silu.default"]),
    "gated": (lambda x, y: y * torch.sigmoid(x), ["sigmoid.default", MUL]),
    "hardswish": (lambda x, y: torch.nn.functional.hardsigmoid(x) * x, ["hardswish.default"]),
    "matmul": (lambda x, y: x @ y.mT, [PERMUTE, MATMUL]),
    "bmm": (lambda x, y: torch.bmm(x, y.mT), [PERMUTE, MATMUL]),
    "vector": (lambda x, y: x @ y[0, 0], None),  # type: ignore[dict-item]
    "einsum": (lambda x, y: torch.einsum("bij,bkj->bik", x, y), None),  # type: ignore[dict-item]
    "addmm": (lambda x, y: torch.addmm(x[0], x[0], y[0, :, :3]), None),  # type: ignore[dict-item]
    "maximum": (lambda x, y: torch.maximum(x, y), ["maximum.default"]),
    "mean": (lambda x, y: x.mean(), ["mean.dim"]),
    "mean_dims": (lambda x, y: x.mean((-1, 0), keepdim=True), ["mean.dim"]),
    "mixed_types": (lambda x, y: x + y.double(), ["to.dtype", ADD]),
}
MOVES = {RESHAPE, PERMUTE, "slice.Tensor", "expand.default"}


@pytest.mark.parametrize("name", CASES)
def test_one_spelling(name: str) -> None:
    function, wanted = CASES[name]
    inputs = (random(3, 3, 3), random(3, 3, 3, seed=1))
    found = spelled(function, *inputs)
    if wanted is not None:
        assert found == wanted
    else:  # how operands are brought into place is torch's business
        assert MATMUL in found and set(found) <= MOVES | {MATMUL, ADD, MUL}
