"""Vectorised activations for epilogues, with their error bounds.

Every function takes an expression of `lanes` float32 and returns one; NaN and infinity go
through as in eager PyTorch.  `CHEAP` ones are applied to accumulators in registers; the
others need temporaries and run over a staged tile (see `tile.py`).

Bounds are against exact arithmetic and held by tests over dense sweeps.  Coefficients are
minimax fits, rounded to float32.  Comparisons are written so that NaN takes the other side
(one instruction on x86).
"""

from collections.abc import Callable, Sequence

from efcompile.kernels.emit import Emitter, Expr, float32, magnitude, negative_part, select
from efcompile.kernels.exponential import full_exp, negated_exp
from efcompile.kernels.gelu_table import TABLE_LANES, table_gelu

Activation = Callable[[Emitter, Expr, int], Expr]


def relu(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``max(x, 0)``; exact."""
    zero = float32(0.0, lanes)
    return select(x < zero, zero, x)


def relu6(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``min(max(x, 0), 6)``; exact."""
    low = e.let(relu(e, x, lanes))
    six = float32(6.0, lanes)
    return select(low > six, six, low)


def hardsigmoid(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``relu6(x + 3) / 6``: absolute error <= 1.2e-7."""
    return relu6(e, e.let(x + float32(3.0, lanes)), lanes) * float32(1 / 6, lanes)


def hardswish(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``x relu6(x + 3) / 6``: relative error <= 2.4e-7 (of ``x`` where the factor is small).

    Multiplied in eager's order, so that it overflows where eager does.
    """
    gate = relu6(e, e.let(x + float32(3.0, lanes)), lanes)
    return x * gate * float32(1 / 6, lanes)


def gelu(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``x (1 + erf(x / sqrt 2)) / 2``: absolute error <= 1.7e-6 (AVX-512: 1.8e-6).

    It is ``max(x, 0) - u p(u)^8``, u = min(|x|, root of p): erfc falls like a normal density, and
    the eighth root of that is so flat that a p of degree 5 will do.
    The cut is a little below the root, or the power would be denormal, which is slow.
    ``x - min(x, 0)`` keeps infinity exact (and minus infinity NaN, as in eager: infinity times 0).
    What the multiply-add pipes must do sets the time on x86: nine operations here, with AVX-512
    three and a few permutations, see `table_gelu`.
    """
    if lanes == TABLE_LANES:
        return table_gelu(e, x, lanes)
    positive = e.let(x - e.let(negative_part(x, lanes)))
    u = e.let(magnitude(x, _GELU_CUT, lanes))
    # NEON, with vectors of four, pays for every constant that something is added to.
    power = e.let((by_pairs if lanes <= 4 else horner)(e, u, _GELU, lanes))
    for _ in range(3):
        power = e.let(power * power)
    return positive - u * power


def sigmoid(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``1 / (1 + exp(-x))``: relative error <= 4e-7 for x > -87, absolute 2e-38 below."""
    return float32(1.0, lanes) / _one_plus_exp(e, x, lanes)


def silu(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``x / (1 + exp(-x))``: relative error <= 4e-7 for x > -87, absolute 2e-36 below."""
    return x / _one_plus_exp(e, x, lanes)


def gelu_tanh(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``x (1 + tanh(u)) / 2`` with u = sqrt(2/pi) (x + 0.044715 x^3): absolute error <= 1e-6.

    It is ``x / (1 + exp(-2 u))``.
    """
    square = e.let(x * x)
    u = x * (square * float32(0.044715 * _TWICE, lanes) + float32(_TWICE, lanes))
    return x / _one_plus_exp(e, e.let(u), lanes)


def tanh(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``tanh(x)``: relative error <= 5e-7 (a rational of degree 13 over 6; +-1 beyond 7.9)."""
    top = float32(_TANH_CUT, lanes)
    bottom = float32(-_TANH_CUT, lanes)
    low = e.let(select(x < bottom, bottom, x))
    c = e.let(select(low > top, top, low))
    square = e.let(c * c)
    above = horner(e, square, _TANH_ABOVE, lanes)
    below = horner(e, square, _TANH_BELOW, lanes)
    return c * (above / below)


def exp(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``exp(x)``: relative error <= 3e-7, denormal results included to their last bit."""
    return full_exp(e, x, lanes)


def horner(e: Emitter, x: Expr, coefficients: Sequence[float], lanes: int) -> Expr:
    """The polynomial with `coefficients` from the constant term up."""
    value = float32(coefficients[-1], lanes)
    for coefficient in reversed(coefficients[:-1]):
        value = e.let(value * x + float32(coefficient, lanes))
    return value


def by_pairs(e: Emitter, x: Expr, coefficients: Sequence[float], lanes: int) -> Expr:
    """`horner` in x^2, of pairs ``c + d x``; `coefficients` are even in number."""
    square = e.let(x * x)
    value: Expr = None
    pairs = zip(coefficients[::2], coefficients[1::2], strict=True)
    for low, high in reversed(list(pairs)):
        pair = e.let(x * float32(high, lanes) + float32(low, lanes))
        value = pair if value is None else e.let(square * value + pair)
    return value


def _one_plus_exp(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``1 + exp(-x)``."""
    return e.let(float32(1.0, lanes) + negated_exp(e, x, lanes))


_TWICE = 2 * 0.7978845608028654
_GELU_CUT = 6.098
_GELU = (
    0.9170034527778625, -0.09149095416069031, -0.03172166272997856,
    -0.0011081189149990678, 0.0019396262941882014, -0.00019094202434644103,
)  # fmt: skip
_TANH_CUT = 7.90531110763549805
_TANH_ABOVE = (
    4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
    -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
)  # fmt: skip
_TANH_BELOW = (
    4.89352518554385e-03,
    2.26843463243900e-03,
    1.18534705686654e-04,
    1.19825839466702e-06,
)

VECTOR: dict[str, Activation] = {
    "none": lambda e, x, lanes: x,
    "relu": relu,
    "relu6": relu6,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "hardswish": hardswish,
    "hardsigmoid": hardsigmoid,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "exp": exp,
}
"""Activation name (see `efcompile.ops.activation.ACTIVATIONS`) -> vector code."""

CHEAP = frozenset({"none", "relu", "relu6", "hardswish", "hardsigmoid"})
"""Activations of a few instructions without temporaries."""
