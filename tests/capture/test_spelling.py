"""The table of spellings itself."""

import torch

from efcompile.capture import normal_form
from efcompile.capture.builder import Builder
from efcompile.capture.spelling import RULES, Call, dtype_of, has_value


def test_every_rule_is_about_an_operator_of_this_torch() -> None:
    assert normal_form.TABLES
    unknown = []
    for name in RULES:
        _, packet, overload = name.split(".")
        if not hasattr(getattr(torch.ops.aten, packet, None), overload):
            unknown.append(name)
    assert unknown == []


def test_arguments_by_name_with_defaults() -> None:
    builder = Builder()
    x = builder.placeholder("x", torch.zeros(2, 3))
    call = Call(torch.ops.aten.transpose.int, (x, 0), {"dim1": 1})
    assert call["self"] is x and call["dim0"] == 0 and call["dim1"] == 1
    assert call.shape == (3, 2)
    slice_ = Call(torch.ops.aten.slice.Tensor, (x,), {})
    assert slice_["step"] == 1 and slice_["start"] is None


def test_kinds_of_operands() -> None:
    x = Builder().placeholder("x", torch.zeros(2, 3).double())
    assert has_value(x) and not has_value(3) and dtype_of(x) == torch.float64
