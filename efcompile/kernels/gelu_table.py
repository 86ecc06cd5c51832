"""GELU from a table, for vectors of sixteen (AVX-512).

A permutation of two registers by the low five bits of an index is a table of 32 entries.  It
takes less from the multiply-add pipes than what it spares: three multiplications are left of
nine, 0.87 ns a vector of 1.20 (Zen 5; entries in one register with a quartic take 1.04).
"""

from efcompile.kernels.emit import Emitter, Expr, float32, magnitude, positive_part, table_of

TABLE_LANES = 16
"""Vectors that `table_gelu` takes."""

_STEP, _PIECES = 0.25, 22
_CUT = _STEP * _PIECES
"""From here on the table is zero."""
_TO_INDEX = 1.5 * 2.0**23 * _STEP
"""Added to u it leaves the number of the piece in the low bits of the sum."""

# Of the piece around _STEP * i the coefficient of each power of u, as entry i: minimax fits, the
# first one zero at zero.
_POWERS = (
    (0.0, 0.00017709454, 0.002555028, 0.006685911, -6.2489984e-05, -0.04125604, -0.13512218,
     -0.27578276, -0.42912233, -0.54825467, -0.5975368, -0.56838286, -0.4792049, -0.3619507,
     -0.24686946, -0.1529667, -0.08651428, -0.04483081, -0.021349763, -0.009367713,
     -0.0037950159, -0.0014220215),
    (-0.50002366, -0.50330627, -0.5221574, -0.5427944, -0.5211084, -0.41264963, -0.20855898,
     0.051317528, 0.297547, 0.46686906, 0.5300927, 0.49737445, 0.40453976, 0.29193196,
     0.18947163, 0.11157689, 0.059984565, 0.029573271, 0.013416812, 0.0056164903, 0.0021741623,
     0.0007796601),
    (0.40009183, 0.42102277, 0.4717714, 0.5063209, 0.48312312, 0.38776088, 0.23964599,
     0.07944532, -0.052447338, -0.13270943, -0.15975277, -0.14751339, -0.11528995, -0.07923195,
     -0.048817247, -0.027274499, -0.013920503, -0.0065236245, -0.0028175893, -0.0011247256,
     -0.00041586373, -0.0001426771),
    (-0.015900137, -0.0631118, -0.10949554, -0.12886748, -0.12060812, -0.09260625, -0.05672733,
     -0.023776766, -0.00021039754, 0.012478289, 0.016335078, 0.014808899, 0.011079466,
     0.00722976, 0.004219612, 0.0022332584, 0.0010808969, 0.00048110032, 0.00019769558,
     7.521727e-05, 2.6554922e-05, 8.7140115e-06),
)  # fmt: skip


def table_gelu(e: Emitter, x: Expr, lanes: int) -> Expr:
    """``x (1 + erf(x / sqrt 2)) / 2``: absolute error <= 1.8e-6.

    It is ``max(x, 0) - u Phi(-u)``, u = |x|, with a cubic for ``u Phi(-u)`` in each piece of u.
    Of minus infinity it is the limit, 0, where eager makes NaN of infinity times 0.
    """
    positive = e.let(positive_part(x))
    u = e.let(magnitude(x, _CUT, lanes))
    index = e.let(u + float32(_TO_INDEX, lanes))
    value: Expr = None
    for entries in reversed(_POWERS):
        piece = table_of(index, entries)
        value = e.let(piece if value is None else value * u + piece)
    return positive + value
