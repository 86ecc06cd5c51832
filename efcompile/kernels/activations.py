"""Vectorised activations for epilogues, with their error bounds.

Every function takes an expression of `lanes` float32 and returns one; NaN and infinity go
through as in eager PyTorch.  `CHEAP` ones are applied to accumulators in registers; the
others need temporaries and run over a staged tile (see `tile.py`).
"""

from collections.abc import Callable

from efcompile.kernels.emit import Emitter, Expr, float32, select

Activation = Callable[[Emitter, Expr, int], Expr]


def relu(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``max(x, 0)``; the comparison is written so that NaN stays NaN."""
    zero = float32(0.0, lanes)
    return select(x < zero, zero, x)


def relu6(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``min(max(x, 0), 6)``."""
    low = e.let(relu(e, x, lanes))
    six = float32(6.0, lanes)
    return select(low > six, six, low)


VECTOR: dict[str, Activation] = {
    "none": lambda e, x, lanes: x,
    "relu": relu,
    "relu6": relu6,
}
"""Activation name (see `efcompile.ops.activation.ACTIVATIONS`) -> vector code."""

CHEAP = frozenset({"none", "relu", "relu6"})
"""Activations of a few instructions without temporaries."""
