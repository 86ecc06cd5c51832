"""A fused op's call as the calls of its parts, which tuning builds and times by themselves."""

from dataclasses import dataclass
from typing import Any

import torch

from efcompile.kernels.kernel import OpCall, Operand
from efcompile.lowering.calls import dtype_name
from efcompile.ops import OPS
from efcompile.passes import fused_parts
from efcompile.passes.fused_parts import PREVIOUS


@dataclass(frozen=True)
class PartCall:
    """One part of a fused call.

    `inputs` maps the names of its tensor arguments that have no constant value, as `Kernel.pack`
    uses them, to the argument of the fused call that they are; None: what the part before
    computes.
    """

    call: OpCall
    inputs: dict[str, str | None]


def parts_of(call: OpCall) -> tuple[PartCall, ...] | None:
    """The parts of a fused `call`, in order, the last with its result; None if it has no parts.

    Constants are the fused call's; what lies between two parts has a shape and no value.
    """
    # An operand that is two arguments goes by the name of the first.
    names = {id(value): name for name, value in reversed(call.args.items())}
    found: list[PartCall] = []
    for part in fused_parts.parts(call.op, call.args, _shape_of):
        args = {
            name: found[-1].call.out if value is PREVIOUS else value
            for name, value in part.args.items()
        }
        inputs = {
            name: None if value is PREVIOUS else names[id(value)]
            for name, value in part.args.items()
            if value is PREVIOUS or (isinstance(value, Operand) and value.value is None)
        }
        found.append(PartCall(OpCall(part.op, args, _result(part.op, args)), inputs))
    if not found:
        return None
    assert found[-1].call.out.shape == call.out.shape
    return tuple(found)


def signature(call: OpCall) -> str | None:
    """What names the work of a fused call, as `split_fused.signature` does of a node."""
    return fused_parts.signature(call.op, call.args, _shape_of)


def _shape_of(value: Any) -> tuple[int, ...] | None:
    return value.shape if isinstance(value, Operand) else None


def _result(op: str, args: dict[str, Any]) -> Operand:
    """The result's shape and dtype, of tensors without data."""
    meta = {name: _meta(v) if isinstance(v, Operand) else v for name, v in args.items()}
    out = OPS[op].overload(**meta)
    return Operand(tuple(int(d) for d in out.shape), dtype_name(out.dtype))


def _meta(operand: Operand) -> torch.Tensor:
    dtype = getattr(torch, operand.dtype)
    return torch.empty(operand.shape, dtype=dtype, device="meta")
