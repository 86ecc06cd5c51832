"""An activation on its own, over a tensor of any shape."""

from dataclasses import dataclass
from math import prod
from typing import Any

from efcompile.kernels import sweep
from efcompile.kernels.activations import VECTOR
from efcompile.kernels.emit import Emitter, Expr
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.reference import te_activation, te_function
from efcompile.kernels.span import share
from efcompile.targets.target import Target
from efcompile.tvm_api import te


@dataclass(frozen=True)
class Shape:
    """``act`` of `size` elements."""

    size: int
    act: str


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `activation` call, or why it is not one for this kernel."""
    if call.args["act"] not in VECTOR:
        return f"no vector code for the activation {call.args['act']}"
    return call.not_float32() or Shape(prod(call.out.shape), call.args["act"])


def plain(shape: Shape) -> Any:
    """x [size] -> [size]."""
    x = te.placeholder((shape.size,), name="x")
    copy = te.compute((shape.size,), lambda i: x[i], name="copy")
    return te_function([x, te_activation(copy, shape.act)])


def default_knobs(shape: Shape, target: Target) -> sweep.Knobs:
    """See `sweep.default_knobs`."""
    return sweep.default_knobs(target)


def pack(call: OpCall, shape: Shape, knobs: sweep.Knobs) -> list[str | Array]:
    """x."""
    return [call.argument("x")]


def build(symbol: str, shape: Shape, target: Target, knobs: sweep.Knobs) -> Built:
    """Pointers: x, out."""
    e = Emitter()
    x, out, _ = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    tasks = knobs.parts(shape.size)

    def body(index: Expr, lanes: int) -> None:
        value = e.let(e.load(x, index, lanes))
        e.store(out, index, VECTOR[shape.act](e, value, lanes), lanes)

    with e.loop(end - begin, "task", begin) as task:
        span = share(e, task, tasks, knobs.task_blocks, shape.size // knobs.block)
        sweep.sweep(e, shape.size, knobs, span, body)
    return Built(e.finish(symbol), 0, tasks)


KERNEL = Kernel("activation_map", "activation", shape_of, plain, default_knobs, pack, build)
