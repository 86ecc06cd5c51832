"""Attention without mixing of heads: a task is a block of queries of one head."""

from dataclasses import replace

from efcompile.kernels.attention_bias import BiasPointers, padded_bias, strips_floats
from efcompile.kernels.attention_block import Block, each_block
from efcompile.kernels.attention_local import Convolution, near_floats, pack_local
from efcompile.kernels.attention_parts import (
    Carver,
    Knobs,
    copied_query_floats,
    copied_value_floats,
    head_start,
    load_keys,
    load_values,
    make_knobs,
    score_rows,
    stage_floats,
    value_pitch,
    weigh_values,
)
from efcompile.kernels.attention_shape import Shape, pitch_of, plain
from efcompile.kernels.attention_shape import shape_of as any_shape_of
from efcompile.kernels.attention_space import knob_choices, knobs_legal
from efcompile.kernels.emit import Emitter, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall
from efcompile.kernels.softmax_group import Rows, group_floats, softmax_rows
from efcompile.kernels.spaces import scratch_legal, tasks_legal
from efcompile.targets.target import Target


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `attention` call, or why it is not one for this kernel."""
    shape = any_shape_of(call)
    return "heads are mixed" if isinstance(shape, Shape) and shape.mixed else shape


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Blocks whose scores take half the L1 cache, or one if its scores fit; enough of them for a
    task per core."""
    fitting = target.l1_bytes // (4 * pitch_of(shape, target.lanes))
    if fitting < shape.queries:
        fitting //= 2
    wanted = -(-target.cores // (shape.batch * shape.heads))
    return make_knobs(shape, target, min(fitting, -(-shape.queries // wanted)))


def _tasks(shape: Shape, knobs: Knobs) -> int:
    return shape.batch * shape.heads * -(-shape.queries // knobs.task_queries)


def _scratch_bytes(shape: Shape, knobs: Knobs) -> int:
    """What a block takes of scratch beside keys and values, about."""
    return 4 * knobs.task_queries * pitch_of(shape, knobs.scores.lanes)


def choices(shape: Shape, target: Target) -> dict[str, tuple[int, ...]]:
    """See `attention_space`."""
    return knob_choices(shape, target, default_knobs(shape, target))


def legal(shape: Shape, target: Target, knobs: Knobs) -> bool:
    """Whether the tiles fit the block and the blocks the image, with little enough scratch and
    tasks enough (see `attention_space`)."""
    default = default_knobs(shape, target)
    return (
        knobs_legal(shape, target, knobs, default)
        and scratch_legal(_scratch_bytes(shape, knobs), _scratch_bytes(shape, default), target)
        and tasks_legal(_tasks(shape, knobs), _tasks(shape, default), target)
    )


def pack(call: OpCall, shape: Shape, knobs: Knobs) -> list[str | Array]:
    """q, k, v, the bias padded to whole vectors, [a runtime bias], [local and its bias]."""
    operands: list[str | Array] = [call.argument(name) for name in ("q", "k", "v")]
    operands.append(padded_bias(call, shape, knobs.scores.lanes))
    return [*operands, *["bias"] * shape.bias_at_run_time, *pack_local(call, shape)]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: q, k, v, padded bias, [runtime bias], [local], [local bias], out."""
    lanes, block_rows = knobs.scores.lanes, knobs.task_queries
    pitch, blocks = pitch_of(shape, lanes), -(-shape.queries // block_rows)
    apart = value_pitch(shape, knobs)
    e = Emitter()
    q, k, v = e.pointer("q"), e.pointer("k"), e.pointer("v")
    bias = BiasPointers.declare(e, shape, pitch)
    local = Convolution.declare(e, shape)
    out, scratch = e.pointer("out"), Carver(e.pointer("scratch"))
    begin, end = e.integer("begin"), e.integer("end")

    keys = scratch.take(shape.key_dim * pitch)
    scores = scratch.take(block_rows * pitch)
    inverses = scratch.take(block_rows)
    group = scratch.take(group_floats(lanes))
    strips = scratch.take(strips_floats(shape, 1, lanes))
    copied_values = scratch.take(copied_value_floats(shape, knobs))
    copied_queries = scratch.take(copied_query_floats(shape, block_rows))
    near_values = scratch.take(near_floats(shape, block_rows))
    stage = scratch.take(stage_floats(shape, knobs.values))

    with e.loop(end - begin, "task", begin) as task:
        unit, block = e.let(task // blocks), e.let(task % blocks)
        batch, head = e.let(unit // shape.heads), e.let(unit % shape.heads)
        values = v.at(head_start(e, shape.v_view, batch, head))

        # A thread's consecutive tasks of one head share its keys and values.
        with e.when((block == int32(0)) | (task == begin)):
            key_rows = k.at(head_start(e, shape.k_view, batch, head))
            load_keys(e, shape, key_rows, keys, lanes)
            if knobs.copy_values:
                load_values(e, shape, values, copied_values, lanes)
            if bias.relative is not None:
                bias.write_strips(e, head if bias.head_step else 0, strips, lanes)
            if local is not None:
                local.ask(e, shape, head, lanes)
        if knobs.copy_values:
            values = copied_values
        queries = q.at(head_start(e, shape.q_view, batch, head))

        def code(part: Block) -> None:
            first, rows = part.first, part.rows
            start = e.hold((batch * shape.queries + first) * shape.heads + head)
            line = queries.at(e.hold(first * shape.q_view[3]))
            here = bias.at(e, batch, head, first)
            if bias.relative is not None:  # this head's alone
                here = replace(here, strips=strips)
            score_rows(e, shape, knobs.scores, part, line, keys, scores, copied_queries, here)
            here.add_at_run_time(e, shape, scores, rows, lanes)
            lines = Rows(scores, pitch)
            softmax_rows(e, lines, lines, inverses, rows, shape.keys, lanes, group)
            target_rows, near = out.at(e.hold(start * shape.value_dim)), None
            if local is not None:
                near = near_values
                local.emit(e, shape, knobs, head, values, apart, first, rows, near)
            weigh_values(
                e, shape, knobs.values, part, scores, values, apart, target_rows, (inverses, 1),
                near, stage,
            )  # fmt: skip

        each_block(e, shape.queries, block_rows, block, code)
    return Built(e.finish(symbol), scratch.bytes, _tasks(shape, knobs))


KERNEL = Kernel(
    "attention", "attention", shape_of, plain, default_knobs, pack, build, choices, legal
)
