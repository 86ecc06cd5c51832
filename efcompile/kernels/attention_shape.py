"""What an `attention` call is, and its plain algorithm, for both attention kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels.kernel import OpCall
from efcompile.kernels.reference import te_activation, te_function, te_softmax
from efcompile.kernels.refusal import refusal
from efcompile.kernels.relative_bias import Relative, find_relative
from efcompile.kernels.stencil import Axis
from efcompile.tvm_api import te, tirx

CONSTANTS = ("mix1", "mix2", "mix2_bias", "local", "local_bias")
"""Operands whose values must be known."""

View4 = tuple[int, int, int, int, int]
"""Offset, then strides of batch, head, token and dim, in elements (see `ops.attention`)."""


@dataclass(frozen=True)
class Local:
    """The depthwise convolution of the values, an image of `down.size` x `across.size`."""

    down: Axis
    across: Axis
    bias: bool


@dataclass(frozen=True)
class Shape:
    """The op's `sizes` and views; `extents` are the elements of q, k and v.

    `bias` is its four sizes (each full or 1), `bias_constant` whether its values are known,
    `relative` how it is relative; `mix1`, `mix2` and `mix2_bias` say which are there.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    key_dim: int
    value_dim: int
    q_view: View4
    k_view: View4
    v_view: View4
    extents: tuple[int, int, int]
    bias: tuple[int, int, int, int] | None
    bias_constant: bool
    relative: Relative | None
    mix1: bool
    mix2: bool
    mix2_bias: bool
    scale: float
    local: Local | None
    act: str

    @property
    def mixed(self) -> bool:
        """Whether heads are mixed (talking heads)."""
        return self.mix1 or self.mix2 or self.mix2_bias

    @property
    def bias_at_run_time(self) -> bool:
        """Whether there is a bias that is not known when the code is made."""
        return self.bias is not None and not self.bias_constant


def shape_of(call: OpCall) -> Shape | str:
    """The shape of any `attention` call these kernels do, or the reason they do not."""
    reason = refusal(call, CONSTANTS)
    if reason is not None:
        return reason
    bias = call.args["bias"]
    if bias is not None and len(bias.shape) != 4:
        return f"the bias has {len(bias.shape)} dimensions, not 4"
    batch, heads, queries, keys, key_dim, value_dim = call.args["sizes"]
    known = call.constant("bias")
    return Shape(
        batch,
        heads,
        queries,
        keys,
        key_dim,
        value_dim,
        q_view=_view(call, "q_view"),
        k_view=_view(call, "k_view"),
        v_view=_view(call, "v_view"),
        extents=(
            prod(call.operand("q").shape),
            prod(call.operand("k").shape),
            prod(call.operand("v").shape),
        ),
        bias=None if bias is None else bias.shape,
        bias_constant=known is not None,
        relative=None if known is None else find_relative(known),
        mix1=call.args["mix1"] is not None,
        mix2=call.args["mix2"] is not None,
        mix2_bias=call.args["mix2_bias"] is not None,
        scale=call.args["scale"],
        local=_local(call),
        act=call.args["act"],
    )


def _local(call: OpCall) -> Local | None:
    if call.args["local"] is None:
        return None
    _, taps_down, taps_across, _ = call.operand("local").shape
    height, width, *steps = call.args["local_grid"]
    down = Axis(height, taps_down, steps[0], steps[2])
    across = Axis(width, taps_across, steps[1], steps[3])
    return Local(down, across, call.args["local_bias"] is not None)


def _view(call: OpCall, name: str) -> View4:
    offset, batch, head, token, dim = call.args[name]
    return offset, batch, head, token, dim


def pitch_of(shape: Shape, lanes: int) -> int:
    """Elements of a row of scores, padded to whole vectors."""
    return -(-shape.keys // lanes) * lanes


def plain(shape: Shape) -> Any:
    """q, k, v (flat), [bias], [mix1], [mix2], [mix2_bias], [local], [local_bias] ->
    [batch, queries, heads * dim]."""
    names = ("q", "k", "v")
    q, k, v = (te.placeholder((n,), name=s) for n, s in zip(shape.extents, names, strict=True))
    operands = [q, k, v]
    heads, full = shape.heads, (shape.batch, shape.heads, shape.queries, shape.keys)

    def at(x: Any, view: View4, *index: Any) -> Any:
        return x[view[0] + sum(i * stride for i, stride in zip(index, view[1:], strict=True))]

    d = te.reduce_axis((0, shape.key_dim), name="d")
    products = te.compute(
        full,
        lambda b, h, i, j: te.sum(
            at(q, shape.q_view, b, h, i, d) * at(k, shape.k_view, b, h, j, d), d
        ),
        name="products",
    )
    scale = tirx.const(shape.scale, "float32")
    y = te.compute(full, lambda *i: products(*i) * scale, name="logits")
    bias = None
    if shape.bias is not None:
        bias = te.placeholder(shape.bias, name="bias")
        operands.append(bias)

    def mixed(x: Any, name: str) -> Any:
        matrix = te.placeholder((heads, heads), name=name)
        operands.append(matrix)
        other = te.reduce_axis((0, heads), name=f"{name}_head")
        return te.compute(
            full,
            lambda b, g, i, j: te.sum(matrix[g, other] * x[b, other, i, j], other),
            name=f"{name}_out",
        )

    if shape.mix1:
        y = mixed(y, "mix1")
    if bias is not None:
        added, unbiased = bias, y
        keep = [size > 1 for size in shape.bias or ()]
        y = te.compute(
            full,
            lambda *i: unbiased(*i) + added(*[x if k else 0 for x, k in zip(i, keep, strict=True)]),
            name="biased",
        )
    rows = shape.batch * heads * shape.queries
    logits, per_head = y, shape.queries
    flat = te.compute(
        (rows, shape.keys),
        lambda r, j: logits[r // per_head // heads, r // per_head % heads, r % per_head, j],
        name="rows",
    )
    weights = te_softmax(flat)
    y = te.compute(
        full, lambda b, h, i, j: weights[(b * heads + h) * per_head + i, j], name="weights"
    )
    if shape.mix2:
        y = mixed(y, "mix2")
    if shape.mix2_bias:
        shift, unshifted = te.placeholder((heads,), name="mix2_bias"), y
        operands.append(shift)
        y = te.compute(full, lambda b, h, i, j: unshifted[b, h, i, j] + shift[h], name="shifted")
    final, n = y, shape.value_dim
    j = te.reduce_axis((0, shape.keys), name="key")
    out = te.compute(
        (shape.batch, shape.queries, heads * n),
        lambda b, i, c: te.sum(
            final[b, c // n, i, j] * at(v, shape.v_view, b, c // n, j, c % n), j
        ),
        name="weighed",
    )
    if shape.local is not None:
        out = _plus_local(
            shape,
            shape.local,
            lambda b, y, c: at(v, shape.v_view, b, c // n, y, c % n),
            out,
            operands,
        )
    return te_function([*operands, te_activation(out, shape.act)])


def _plus_local(
    shape: Shape, local: Local, value: Callable[..., Any], out: Any, operands: list[Any]
) -> Any:
    """`out` and the convolution of ``value(batch, key, channel)``; its operands are appended."""
    down, across, channels = local.down, local.across, shape.heads * shape.value_dim
    taps = te.placeholder((channels, down.kernel, across.kernel, 1), name="local")
    operands.append(taps)
    ky = te.reduce_axis((0, down.kernel), name="ky")
    kx = te.reduce_axis((0, across.kernel), name="kx")

    def product(b: Any, i: Any, c: Any) -> Any:
        y = i // across.out * down.stride + ky - down.padding
        x = i % across.out * across.stride + kx - across.padding
        inside = tirx.all(y >= 0, y < down.size, x >= 0, x < across.size)
        zero = tirx.const(0.0, "float32")
        here = tirx.if_then_else(inside, value(b, y * across.size + x, c), zero)
        return te.sum(here * taps[c, ky, kx, 0], [ky, kx])

    near = te.compute(out.shape, product, name="near")
    total = te.compute(out.shape, lambda *i: out[i] + near[i], name="total")
    if not local.bias:
        return total
    bias = te.placeholder((channels,), name="local_bias")
    operands.append(bias)
    return te.compute(out.shape, lambda b, i, c: total[b, i, c] + bias[c], name="shifted_total")
