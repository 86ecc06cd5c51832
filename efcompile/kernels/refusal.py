"""The reasons for which no kernel that computes can do a call."""

from collections.abc import Sequence

from efcompile.kernels.activations import VECTOR
from efcompile.kernels.kernel import OpCall


def refusal(call: OpCall, constants: Sequence[str] = ()) -> str | None:
    """Why `call` cannot be done, or None: one of `constants` that is there has no value yet, so
    it cannot be packed, there is no code for an activation, the residual is not of the result's
    shape, or an operand is not float32."""
    for name in constants:
        if call.args[name] is not None and call.constant(name) is None:
            return f"{name} is not a constant"
    for name in ("act", "act1", "act2"):
        act = call.args.get(name)
        if act is not None and act not in VECTOR:
            return f"no vector code for the activation {act}"
    residual = call.args.get("residual")
    if residual is not None and residual.shape != call.out.shape:
        return "the residual is broadcast"
    return call.not_float32()
