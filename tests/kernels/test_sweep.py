from efcompile.kernels.sweep import default_knobs
from tests.kernels.harness import HOST


def test_parts_cover_every_size() -> None:
    knobs = default_knobs(HOST)
    for size in (1, knobs.block, knobs.block * knobs.task_blocks, 1_000_003):
        parts = knobs.parts(size)
        assert parts >= 1
        assert parts * knobs.task_blocks >= size // knobs.block
        assert (parts - 1) * knobs.task_blocks < max(1, size // knobs.block)
