"""The exponential of a softmax's weights from a table, for vectors of sixteen (AVX-512).

``2^(n + f) = 2^floor(n) 2^(n - floor(n)) 2^f`` with n in steps of 1/32, so that the second factor
is one of 32 (a permutation of two registers) and a quadratic does for the third.  Five operations
of the multiply-add pipes are left of eight; the last step, a scaling by a power of two, and the
clamping run beside them.
"""

from efcompile.kernels.emit import Emitter, Expr, float32, int32, select, table_of
from efcompile.tvm_api import tirx

EXP_LANES = 16
"""Vectors that `table_exp` takes."""

_BOTTOM = -110.0
"""What is smaller is zero as well."""
_LOG2_E = 1.4426950408889634
_PIECES = 32
_TO_INDEX = 1.5 * 2.0**23 / _PIECES
"""Added it rounds to 1/32, and leaves the piece in the low bits of the sum."""
_FACTORS = tuple(2.0 ** (piece / _PIECES) for piece in range(_PIECES))
_LINEAR, _SQUARE = 0.6931573152542114, 0.2402265965938568
"""``2^f = 1 + _LINEAR f + _SQUARE f^2`` for |f| <= 1/64: minimax, relative error 5.4e-8."""


def table_exp(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``exp(x)`` of x <= 0: relative error <= 3e-7 + 2e-8 |x| down to 2^-126, and denormal or 0
    below; 0 for -inf, NaN for NaN."""
    bottom, log2_e = float32(_BOTTOM, lanes), float32(_LOG2_E, lanes)
    to_index = float32(_TO_INDEX, lanes)
    x = e.let(select(x < bottom, bottom, x))
    index = e.let(x * log2_e + to_index)
    n = e.let(index - to_index)
    f = e.let(x * log2_e - n)
    factor = e.let(table_of(index, _FACTORS))
    slope = e.let(f * float32(_SQUARE, lanes) + float32(_LINEAR, lanes))
    return _scaled(e.let(factor * f * slope + factor), n)


def _scaled(value: Expr, n: Expr) -> Expr:
    """``value * 2^floor(n)``."""
    every, current = tirx.IntImm("int16", -1), int32(4)  # lanes; the rounding in force
    name = "llvm.x86.avx512.mask.scalef.ps.512"
    return tirx.call_llvm_pure_intrin(value.ty, name, value, n, value, every, current)
