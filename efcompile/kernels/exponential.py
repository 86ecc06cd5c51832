"""The exponential as vector code: reduction to [-ln 2 / 2, ln 2 / 2], a polynomial, a power.

``exp(x) = 2^n p(x - n ln 2)``.  n is found by adding 1.5 * 2^23, which leaves it in the low
mantissa bits: no conversion instruction, and nothing undefined for NaN.
"""

from efcompile.kernels.emit import Emitter, Expr, float32, integers, reinterpret, select
from efcompile.kernels.exp_table import EXP_LANES, table_exp

_MAGIC = 12582912.0
_MAGIC_BITS = 0x4B400000
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_P = (
    1.0, 0.9999997019767761, 0.4999914765357971, 0.1666763871908188,
    0.04189816117286682, 0.008290272206068039,
)  # fmt: skip
"""Minimax on the reduced range, relative error 9.2e-8."""
_P2 = (
    1.0, 0.6931469440460205, 0.240221306681633,
    0.05550861731171608, 0.009675673209130764, 0.0013225902803242207,
)  # fmt: skip
"""2^f for f from -1/2 to 1/2: minimax, relative error 5.6e-8."""


def weight_exp(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``exp(x)`` of x <= 0: relative error <= 3e-7 + 2e-8 |x|, so absolute error <= 3e-7; below
    2^-126.5 it is 0 (AVX-512: or the denormal); 0 for -inf, NaN for NaN.

    ``2^n 2^f`` with f = x / ln 2 - n in one multiply-add: what rounding 1 / ln 2 adds to the
    error is nothing beside the largest weight of a softmax, which is 1.
    """
    if lanes == EXP_LANES:
        return table_exp(e, x, lanes)
    bottom, log2_e = float32(-88.0, lanes), float32(_LOG2_E, lanes)
    x = e.let(select(x < bottom, bottom, x))
    magic = _MAGIC + 127
    shifted = e.let(reinterpret(x * log2_e + float32(magic, lanes), "int32", lanes))
    minus_n = e.let(float32(magic, lanes) - reinterpret(shifted, "float32", lanes))
    f = e.let(x * log2_e + minus_n)
    value = float32(_P2[-1], lanes)
    for coefficient in reversed(_P2[:-1]):
        value = e.let(value * f + float32(coefficient, lanes))
    return value * reinterpret(shifted << integers(23, lanes), "float32", lanes)


def negated_exp(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``exp(-x)``: relative error <= 3e-7 for results from 2^-126 to 2^127.5.

    Smaller results are 0 below 2^-126.5, larger ones infinity; inf gives 0, -inf gives inf,
    NaN gives NaN.
    """
    bottom, top = float32(-89.0, lanes), float32(88.0, lanes)
    x = e.let(select(x < bottom, bottom, x))
    x = e.let(select(x > top, top, x))
    shifted, p = _reduced(e, x, lanes, -1.0, _MAGIC + 127)
    return p * reinterpret(shifted << integers(23, lanes), "float32", lanes)


def full_exp(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``exp(x)``: relative error <= 3e-7, denormal results and all: two factors make 2^n."""
    bottom, top = float32(-104.0, lanes), float32(89.0, lanes)
    low = e.let(select(x < bottom, bottom, x))
    shifted, p = _reduced(e, e.let(select(low > top, top, low)), lanes, 1.0, _MAGIC)
    n = e.let(shifted - integers(_MAGIC_BITS, lanes))
    half = e.let(n >> integers(1, lanes))
    return p * _power(half, lanes) * _power(n - half, lanes)


def _reduced(e: Emitter, x: Expr, lanes: int, sign: float, magic: float) -> tuple[Expr, Expr]:
    """The bits of ``magic + n`` for n = round(sign x / ln 2), and exp(sign x - n ln 2)."""
    z = x * float32(sign * _LOG2_E, lanes) + float32(magic, lanes)
    shifted = e.let(reinterpret(z, "int32", lanes))
    n = e.let(reinterpret(shifted, "float32", lanes) - float32(magic, lanes))
    r = e.let(x - n * float32(sign * _LN2_HIGH, lanes))
    r = e.let(r - n * float32(sign * _LN2_LOW, lanes))
    value = float32(_P[-1] * sign ** (len(_P) - 1), lanes)
    for power in range(len(_P) - 2, -1, -1):
        value = e.let(value * r + float32(_P[power] * sign**power, lanes))
    return shifted, value


def _power(n: Expr, lanes: int) -> Expr:
    """``2^n`` of integers -126 .. 127."""
    return reinterpret((n + integers(127, lanes)) << integers(23, lanes), "float32", lanes)
