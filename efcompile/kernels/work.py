"""What a kernel cannot do without: operations, loads and stores, counted from its shape.

The counts are a lower bound for any vector code that computes the shape without a cheaper
algorithm for products (no Winograd, no Strassen).  All are in elements, so a machine of any
vector width divides them by its rates in elements per second:

- `matmul`: multiply-adds of matrix products and of convolutions that are products.
- `multiply`: further multiply-adds and multiplications: depthwise taps, polynomials, scales.
- `add`: additions, comparisons and choices; one operation per instruction, not two.
- `loads`, `stores`: elements through the load and store ports of L1.  A stencil loads every
  input row once for each output row that it serves (registers keep what is shared along a
  row, not down a column); any other kernel loads what it reads once.  Products load more,
  but a register tile hides that behind its multiply-adds.

Taps that fall on padding are not counted: kernels leave them out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # TVM comes with it, and what is known of a bundle's work needs none
    from efcompile.kernels.stencil import Axis


@dataclass(frozen=True)
class Work:
    """See the module's docstring."""

    matmul: float = 0.0
    multiply: float = 0.0
    add: float = 0.0
    loads: float = 0.0
    stores: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.matmul + other.matmul,
            self.multiply + other.multiply,
            self.add + other.add,
            self.loads + other.loads,
            self.stores + other.stores,
        )


ACTIVATIONS: dict[str, tuple[int, int]] = {
    "none": (0, 0),
    "relu": (0, 1),
    "relu6": (0, 2),
    "hardsigmoid": (1, 3),
    "hardswish": (2, 3),
    "gelu": (3, 4),
    "gelu_tanh": (13, 5),
    "silu": (10, 5),
    "sigmoid": (10, 5),
    "tanh": (12, 2),
    "exp": (9, 4),
}
"""Multiplications (fused or not; a division is one) and other operations per element, at the
accuracy that the kernels promise, on the target that needs the fewest."""


def activation(name: str, elements: float) -> Work:
    """`name` applied to so many elements."""
    multiply, add = ACTIVATIONS[name]
    return Work(multiply=multiply * elements, add=add * elements)


@dataclass(frozen=True)
class Line:
    """One axis of a window: inputs, outputs, and the taps of all outputs that fall on inputs."""

    size: int
    out: int
    taps: int


def line(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Line:
    """The `Line` of a window's geometry."""
    sources = (o * stride - padding + t * dilation for o in range(out) for t in range(kernel))
    return Line(size, out, sum(0 <= source < size for source in sources))


def _line(axis: "Axis") -> Line:
    return line(axis.size, axis.out, axis.kernel, axis.stride, axis.padding, axis.dilation)


def _windowed(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Line:
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return line(size, out, kernel, stride, padding, dilation)


def _gemm(shape: Any) -> Work:
    out = shape.m * shape.n
    residual = out if shape.residual else 0
    return Work(matmul=out * shape.k, add=residual) + activation(shape.act, out)


def _norm_linear(shape: Any) -> Work:
    out = shape.m * shape.n
    rows = _normalise(shape.m * shape.k)
    return Work(matmul=out * shape.k) + rows + activation(shape.act, out)


def _normalise(elements: float) -> Work:
    """Sum, squared differences, subtract and scale."""
    return Work(multiply=2 * elements, add=2 * elements)


def _matmul(shape: Any) -> Work:
    return Work(matmul=prod(axis.size for axis in shape.axes) * shape.m * shape.n * shape.k)


def _mlp(shape: Any) -> Work:
    product = Work(matmul=shape.m * shape.h * (shape.k + shape.n))
    return product + activation(shape.act, shape.m * shape.h)


def _ffn(shape: Any) -> Work:
    down, across = _line(shape.down), _line(shape.across)
    pixels_in, pixels_out = down.size * across.size, down.out * across.out
    image = Work(
        matmul=shape.c * (pixels_in * shape.k + pixels_out * shape.n),
        multiply=shape.c * down.taps * across.taps,
        loads=shape.c * down.taps * across.size,
        stores=shape.c * (pixels_in + pixels_out),
    )
    image += activation(shape.act1, pixels_in * shape.c)
    image += activation(shape.act2, pixels_out * shape.c)
    return _times(shape.batch, image)


def _separable_conv(shape: Any) -> Work:
    down, across = _line(shape.down), _line(shape.across)
    pixels = down.out * across.out
    image = Work(
        matmul=pixels * shape.c * shape.n,
        multiply=shape.c * down.taps * across.taps,
        add=pixels * shape.n if shape.residual else 0,
        loads=shape.c * down.taps * across.size,
        stores=pixels * (shape.c + shape.n),
    )
    image += activation(shape.act1, pixels * shape.c) + activation(shape.act2, pixels * shape.n)
    return _times(shape.batch, image)


def _conv(shape: Any) -> Work:
    geometry = (shape.kernel, shape.stride, shape.padding, shape.dilation)
    down, across = (
        _windowed(size, *(pair[i] for pair in geometry))
        for i, size in enumerate((shape.height, shape.width))
    )
    out = down.out * across.out * shape.filters
    taps = down.taps * across.taps * shape.filters * (shape.channels // shape.groups)
    epilogue = activation(shape.act, out) + Work(add=out if shape.residual else 0)
    if not shape.depthwise:
        return _times(shape.batch, Work(matmul=taps) + epilogue)
    loads = down.taps * shape.width * shape.channels + (out if shape.residual else 0)
    return _times(shape.batch, Work(multiply=taps, loads=loads, stores=out) + epilogue)


def _attention(shape: Any) -> Work:
    scores = shape.batch * shape.heads * shape.queries * shape.keys
    mixes = shape.mix1 + shape.mix2
    products = shape.key_dim + shape.value_dim + mixes * shape.heads
    biased = 1 if shape.bias is not None else 0
    # The largest score, the sum; the division can wait for the result.
    return Work(matmul=scores * products, add=scores * (2 + biased)) + activation("exp", scores)


def _window(shape: Any) -> Work:
    """A pool, columns first, then rows."""
    down, across = (
        line(axis.size, axis.out, axis.taps, axis.stride, axis.pad, axis.dilation)
        for axis in (shape.y, shape.x)
    )
    return _separable(shape.batch, shape.channels, down, across)


def _pool_mixer(shape: Any) -> Work:
    down, across = map(_line, shape.axes)
    out = shape.batch * shape.height * shape.width * shape.channels
    factors = 2 if shape.scale and not shape.residual else 1
    extra = Work(
        multiply=(factors + (shape.scale and shape.residual)) * out,
        loads=out if shape.residual else 0,
        add=out if shape.residual and not shape.scale else 0,
    )
    return _separable(shape.batch, shape.channels, down, across) + extra


def _separable(batch: int, channels: int, down: Line, across: Line) -> Work:
    columns = (down.taps - down.out) * across.size
    rows = (across.taps - across.out) * down.out
    one = Work(
        add=channels * (columns + rows),
        loads=channels * down.taps * across.size,
        stores=channels * down.out * across.out,
    )
    return _times(batch, one)


def _pool_linear(shape: Any) -> Work:
    pixels = shape.images * shape.positions * shape.channels
    product = Work(matmul=shape.images * shape.classes * shape.channels, add=pixels, loads=pixels)
    return product + (Work() if shape.norm == "none" else _normalise(pixels))


def _resize(shape: Any) -> Work:
    out = shape.batch * prod(shape.size) * shape.channels
    blend = 2 * out if shape.mode == "bilinear" else 0
    return Work(multiply=blend, loads=out, stores=out) + activation(shape.act, out)


def _binary(shape: Any) -> Work:
    out = prod(axis.size for axis in shape.axes)
    return Work(add=out, stores=out) + activation(shape.act, out)


def _copy(elements: float) -> Work:
    return Work(loads=elements, stores=elements)


def _times(count: int, work: Work) -> Work:
    return Work(
        count * work.matmul,
        count * work.multiply,
        count * work.add,
        count * work.loads,
        count * work.stores,
    )


_WORK: dict[str, Callable[[Any], Work]] = {
    "gemm": _gemm,
    "norm_linear": _norm_linear,
    "matmul": _matmul,
    "mlp": _mlp,
    "ffn": _ffn,
    "separable": _separable_conv,
    "conv_direct": _conv,
    "conv_grouped": _conv,
    "depthwise": _conv,
    "attention": _attention,
    "attention_mixed": _attention,
    "pool": _window,
    "pool_mixer": _pool_mixer,
    "pool_linear": _pool_linear,
    "resize": _resize,
    "binary": _binary,
    "layer_norm": lambda s: _copy(s.rows * s.channels) + _normalise(s.rows * s.channels),
    "group_norm": lambda s: (
        _copy(s.images * s.positions * s.channels) + _normalise(s.images * s.positions * s.channels)
    ),
    "softmax": lambda s: _copy(s.rows * s.columns) + activation("exp", s.rows * s.columns),
    "mean": lambda s: Work(add=s.outer * s.size * s.inner, loads=s.outer * s.size * s.inner),
    "activation_map": lambda s: _copy(s.size) + activation(s.act, s.size),
    "affine": lambda s: (
        _copy(s.rows * s.channels)
        + Work(multiply=s.rows * s.channels)
        + activation(s.act, s.rows * s.channels)
    ),
    "scalar_map": lambda s: _copy(s.size) + Work(multiply=s.size),
    "strided_copy": lambda s: _copy(prod(s.dims)),
    "concat": lambda s: _copy(s.outer * sum(s.runs)),
    "gather": lambda s: _copy(s.outer * s.count * s.inner),
    "pad": lambda s: _copy(prod(sum(extent) for extent in (*s.outer, s.row))),
    "leftover": lambda s: Work(),
}


def work_of(kernel: str, shape: Any) -> Work:
    """The work of one call of `kernel` (its name in `efcompile.kernels`) on `shape`; nothing
    but memory traffic is known of leftovers.

    Raises `KeyError` for a kernel that is not counted here yet.
    """
    if kernel not in _WORK:
        where = "efcompile/kernels/work.py"
        raise KeyError(f"what {kernel!r} must do is not counted: add it to {where}")
    return _WORK[kernel](shape)
