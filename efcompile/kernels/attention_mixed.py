"""Attention with talking heads: a task is a block of queries of all heads."""

from dataclasses import replace

import numpy as np

from efcompile.kernels.attention_bias import (
    BiasPointers,
    biased_heads,
    padded_bias,
    strips_floats,
)
from efcompile.kernels.attention_block import Block, each_block
from efcompile.kernels.attention_heads import RowScratch, mixing_tile, rows_of_heads
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
from efcompile.kernels.emit import Emitter, Expr, int32
from efcompile.kernels.kernel import Array, Built, Kernel, OpCall, contiguous
from efcompile.kernels.softmax_group import Rows
from efcompile.kernels.spaces import scratch_legal, tasks_legal
from efcompile.targets.target import Target


def shape_of(call: OpCall) -> Shape | str:
    """The shape of an `attention` call, or why it is not one for this kernel."""
    shape = any_shape_of(call)
    return "no heads are mixed" if isinstance(shape, Shape) and not shape.mixed else shape


def default_knobs(shape: Shape, target: Target) -> Knobs:
    """Blocks whose scores take a quarter of the L2 cache; enough of them for a task per core,
    as long as they keep sixteen queries."""
    row_bytes = 4 * shape.heads * pitch_of(shape, target.lanes)
    wanted = -(-target.cores // shape.batch)
    for_cores = max(16, -(-shape.queries // wanted))
    return make_knobs(shape, target, min(target.l2_bytes // 4 // row_bytes, for_cores))


def _tasks(shape: Shape, knobs: Knobs) -> int:
    return shape.batch * -(-shape.queries // knobs.task_queries)


def _scratch_bytes(shape: Shape, knobs: Knobs) -> int:
    """What a block takes of scratch beside keys and values, about."""
    return 4 * shape.heads * knobs.task_queries * pitch_of(shape, knobs.scores.lanes)


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
    """q, k, v, the bias padded to whole vectors, [a runtime bias], [mix1], [mix2 and its bias,
    identity and zero where absent], [local and its bias]."""
    operands: list[str | Array] = [call.argument(name) for name in ("q", "k", "v")]
    operands.append(padded_bias(call, shape, knobs.scores.lanes))
    operands += ["bias"] * shape.bias_at_run_time
    mix1, mix2, shift = (call.constant(name) for name in ("mix1", "mix2", "mix2_bias"))
    if mix1 is not None:
        operands.append(contiguous(mix1))
    if mix2 is not None or shift is not None:
        operands.append(contiguous(np.eye(shape.heads) if mix2 is None else mix2))
        operands.append(contiguous(np.zeros(shape.heads) if shift is None else shift))
    return [*operands, *pack_local(call, shape)]


def build(symbol: str, shape: Shape, target: Target, knobs: Knobs) -> Built:
    """Pointers: q, k, v, padded bias, [runtime bias], [mix1], [mix2, mix2_bias], [local],
    [local bias], out."""
    lanes, most_rows, heads = knobs.scores.lanes, knobs.task_queries, shape.heads
    pitch, blocks = pitch_of(shape, lanes), -(-shape.queries // most_rows)
    tile, after = mixing_tile(shape, target), shape.mix2 or shape.mix2_bias
    e = Emitter()
    q, k, v = e.pointer("q"), e.pointer("k"), e.pointer("v")
    bias = BiasPointers.declare(e, shape, pitch)
    mix1 = e.optional("mix1", shape.mix1)
    mix2 = e.pointer("mix2") if after else None
    shift = e.pointer("mix2_bias") if after else None
    local = Convolution.declare(e, shape)
    out, scratch = e.pointer("out"), Carver(e.pointer("scratch"))
    begin, end = e.integer("begin"), e.integer("end")

    key_floats, apart = shape.key_dim * pitch, value_pitch(shape, knobs)
    keys = scratch.take(heads * key_floats)
    copied_values = scratch.take(copied_value_floats(shape, knobs))
    scores = scratch.take(heads * most_rows * pitch)
    strips = scratch.take(strips_floats(shape, biased_heads(shape), lanes))
    inverses = scratch.take(most_rows * heads)
    row_scratch = RowScratch.take(scratch, shape, lanes)
    copied_queries = scratch.take(copied_query_floats(shape, most_rows))
    near_values = scratch.take(near_floats(shape, most_rows))
    stage = scratch.take(stage_floats(shape, knobs.values))
    if bias.relative is not None:
        bias = replace(bias, strips=strips)

    def load_head(batch: Expr, head: Expr) -> None:
        key_rows = k.at(head_start(e, shape.k_view, batch, head))
        load_keys(e, shape, key_rows, keys.at(e.hold(head * key_floats)), lanes)

    with e.loop(end - begin, "task", begin) as task:
        batch, block = e.let(task // blocks), e.let(task % blocks)
        # A thread's consecutive tasks of one image share its keys, and all of them the strips.
        with e.when((block == int32(0)) | (task == begin)), e.loop(heads, "head") as head:
            load_head(batch, head)
        if bias.relative is not None:
            with e.when(task == begin), e.loop(biased_heads(shape), "head") as head:
                bias.write_strips(e, head, strips.at(e.let(head * bias.head_step)), lanes)

        def code(part: Block) -> None:
            first, rows = part.first, part.rows
            per_head = most_rows * pitch
            with e.loop(heads, "head") as head:
                start = e.hold(head_start(e, shape.q_view, batch, head) + first * shape.q_view[3])
                here = scores.at(e.hold(head * per_head))
                own = None if mix1 else bias.at(e, batch, head, first)
                head_keys = keys.at(e.hold(head * key_floats))
                score_rows(
                    e, shape, knobs.scores, part, q.at(start), head_keys, here, copied_queries, own
                )
                if own is not None:
                    own.add_at_run_time(e, shape, here, rows, lanes)
                if local is not None:
                    local.ask(e, shape, head, lanes)
            rows_of_heads(
                e, shape, tile, Rows(scores, per_head), rows, mix1,
                lambda row: bias.at(e, batch, 0, e.let(first + row)), mix2, shift, inverses,
                row_scratch,
            )  # fmt: skip
            with e.loop(heads, "head") as head:
                values = v.at(head_start(e, shape.v_view, batch, head))
                if knobs.copy_values:  # into the L1 cache, where all that follows reads them
                    load_values(e, shape, values, copied_values, lanes)
                    values = copied_values
                row = (batch * shape.queries + first) * heads + head
                target_rows = out.at(e.hold(row * shape.value_dim))
                weights = scores.at(e.hold(head * per_head))
                scale = None if mix2 else (inverses.at(head), heads)
                near = None
                if local is not None:
                    near = near_values
                    local.emit(e, shape, knobs, head, values, apart, first, rows, near)
                weigh_values(
                    e, shape, knobs.values, part, weights, values, apart, target_rows, scale,
                    near, stage,
                )  # fmt: skip

        # Copies of queries are of as many as are known when the code is made.
        heights = () if copied_query_floats(shape, 1) else (knobs.scores.rows, knobs.values.rows)
        each_block(e, shape.queries, most_rows, block, code, heights)
    return Built(e.finish(symbol), scratch.bytes, _tasks(shape, knobs))


KERNEL = Kernel(
    "attention_mixed", "attention", shape_of, plain, default_knobs, pack, build, choices, legal
)
