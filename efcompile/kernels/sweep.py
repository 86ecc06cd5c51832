"""Vector loops over contiguous elements, for kernels that are bound by memory."""

from collections.abc import Callable
from dataclasses import dataclass

from efcompile.kernels.emit import Emitter, Expr
from efcompile.kernels.kernel import Built
from efcompile.kernels.register_tile import vector_widths
from efcompile.kernels.spaces import tasks_legal
from efcompile.kernels.span import Span, share
from efcompile.targets.target import Target

Body = Callable[[Expr, int], None]
"""``body(index, lanes)`` handles the `lanes` elements from `index`."""


@dataclass(frozen=True)
class Knobs:
    """`lanes` per vector, `vectors` per loop iteration, and `task_blocks` such iterations
    (of contiguous elements) per task."""

    lanes: int
    vectors: int
    task_blocks: int

    @property
    def block(self) -> int:
        """Elements per loop iteration."""
        return self.lanes * self.vectors

    def parts(self, size: int) -> int:
        """Tasks that `size` contiguous elements are cut into."""
        return max(1, -(-(size // self.block) // self.task_blocks))


def default_knobs(target: Target) -> Knobs:
    """Four vectors an iteration; tasks of a quarter of the L1 cache."""
    block = 4 * target.lanes
    return Knobs(target.lanes, 4, max(1, target.l1_bytes // 16 // block))


VECTORS = (1, 2, 4, 8)
"""Vectors an iteration that are worth trying: independent work against code and remainders."""


def choices(size: int, target: Target) -> dict[str, tuple[int, ...]]:
    """For kernels whose knobs are these: `vectors`, and the sizes of tasks that cut `size`
    contiguous elements."""
    default = default_knobs(target)
    most = size // default.block
    blocks = {default.task_blocks, *(default.task_blocks * 2**p // 4 for p in range(5))}
    return {
        "vectors": VECTORS,
        "task_blocks": tuple(sorted(b for b in blocks if 1 <= b <= max(default.task_blocks, most))),
    }


def legal(knobs: Knobs, target: Target, size: int | None = None, rows: int = 1) -> bool:
    """Whether loops can be made by `knobs`; with `size`, whether tasks that cut `rows` runs of
    so many elements are enough (without, nothing is cut)."""
    default = default_knobs(target)
    if knobs.lanes != target.lanes or knobs.vectors not in VECTORS:
        return False
    if size is None:
        return knobs.task_blocks == default.task_blocks
    most = max(default.task_blocks, size // knobs.block)
    cut = 1 <= knobs.task_blocks <= most
    return cut and tasks_legal(rows * knobs.parts(size), rows * default.parts(size), target)


def sweep(e: Emitter, size: int, knobs: Knobs, span: Span, body: Body) -> None:
    """`body` over the blocks of `span` out of `size` elements, and their remainder."""
    block = knobs.block
    if size >= block:
        with e.loop(span.count, "block") as i:
            start = e.let((i + span.first) * block, "start")
            for v in range(knobs.vectors):
                body(start + v * knobs.lanes, knobs.lanes)
    if size % block == 0:
        return

    def remainder() -> None:
        start = size - size % block
        for lanes in vector_widths(size % block, knobs.lanes):
            body(start, lanes)
            start += lanes

    if span.tail is True:
        remainder()
    else:
        with e.when(span.tail):
            remainder()


def sweep_all(e: Emitter, size: int, knobs: Knobs, body: Body) -> None:
    """`body` over all of `size` contiguous elements."""
    sweep(e, size, knobs, Span.whole(size, knobs.block), body)


def map_kernel(
    symbol: str, size: int, knobs: Knobs, change: Callable[[Emitter, Expr, int], Expr]
) -> Built:
    """The kernel ``out = change(x)`` of `size` elements.  Pointers: x, out."""
    e = Emitter()
    x, out, _ = e.pointer("x"), e.pointer("out"), e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    tasks = knobs.parts(size)

    def body(index: Expr, lanes: int) -> None:
        e.store(out, index, change(e, e.load(x, index, lanes), lanes), lanes)

    with e.loop(end - begin, "task", begin) as task:
        span = share(e, task, tasks, knobs.task_blocks, size // knobs.block)
        sweep(e, size, knobs, span, body)
    return Built(e.finish(symbol), 0, tasks)
